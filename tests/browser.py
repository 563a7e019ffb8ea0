"""Debian's Chromium without a window, in front of a team's server: what a person sees on MLflow's pages, and whether a script ran."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.server import Team, password_of

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Frame, Page

LONG_MS = 60_000
"""How long a page may take on a busy machine."""
BESIDE = """label => {
  const own = label.getBoundingClientRect(), middle = (own.top + own.bottom) / 2;
  const box = other => other.getBoundingClientRect();
  const seen = other => other.contains(document.elementFromPoint((box(other).left + box(other).right) / 2, middle));
  return [...document.querySelectorAll('*')]
    .filter(other => !other.children.length && other.innerText?.trim() && box(other).left >= own.right && seen(other))
    .sort((one, other) => box(one).left - box(other).left)
    .map(other => other.innerText.trim());
}"""
"""The texts that are seen in one line with an element, to the right of it, from left to right."""
TIDY = """if (location.protocol.startsWith('http')) Object.assign(localStorage, {
  'mlflow.assistant.fab.autoOpenedOnFirstLoad_v1': 'true',
  'mlflow.assistant.panelOpen_v1': 'false',
});"""
"""As for somebody who has closed MLflow's assistant."""


@dataclass
class Browser:
    """One page, logged in as one user. `alerts`: what a script that ran has shown."""

    page: "Page"
    address: str
    alerts: list[str] = field(default_factory=list)

    def open(self, place: str, *texts: str) -> str:
        """Go to a place of MLflow's, such as `models/toy`, and wait until these texts are seen; all the text that is seen then."""
        # Else only the part after the # changes, and the old page's text is still there.
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/#/{place}")
        for text in texts:
            self.shown(text)
        return self.text()

    def text(self) -> str:
        return self.page.locator("body").inner_text()

    def shown(self, text: str) -> None:
        """Wait until this text is seen on the page."""
        self.page.get_by_text(text).first.wait_for(state="visible")

    def beside(self, text: str) -> list[str]:
        """The texts that are seen in one line with this one, to the right of it."""
        label = self.page.get_by_text(text, exact=True).last
        label.scroll_into_view_if_needed()
        found: list[str] = label.evaluate(BESIDE)
        return found

    def frame(self, text: str) -> "Frame":
        """The frame that shows this text, such as that of an artifact."""
        self.page.wait_for_function("document.querySelector('iframe')")
        for frame in self.page.frames[1:]:
            frame.get_by_text(text).first.wait_for(state="visible")
            return frame
        raise AssertionError(f"no frame shows {text!r}")

    def picture(self, file: Path, *, width: int = 1280, height: int = 800) -> None:
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.add_style_tag(content="[data-assistant-ui] { visibility: hidden }")
        self.page.screenshot(path=file, animations="disabled")


def program() -> str:
    """Chromium's path; the test is skipped where there is none."""
    pytest.importorskip("playwright.sync_api")
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if not found:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    return found


@contextmanager
def browser(team: Team, user: str) -> Iterator[Browser]:
    """A browser of its own for one user; other hosts than the server are not found."""
    path = program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Nothing but our own server is reached. Containers have little shared memory, and Chromium's sandbox does not work for root.
        options = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-dev-shm-usage"]
        options += ["--no-sandbox"] * (os.geteuid() == 0)
        running = driver.chromium.launch(executable_path=path, args=options)
        try:
            context = running.new_context(http_credentials={"username": user, "password": password_of(user)})
            context.set_default_timeout(LONG_MS)
            context.add_init_script(TIDY)
            own = Browser(context.new_page(), team.address)

            def alert(dialog: "Dialog") -> None:
                own.alerts.append(dialog.message)
                dialog.dismiss()

            context.on("dialog", alert)
            yield own
        finally:
            running.close()
