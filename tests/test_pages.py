"""registry.pages: what the registry shows of verdicts, decisions and history is complete, unmistakable, short enough, and text alone."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from registry.chain import Record
from registry.descriptions import MOST
from registry.findings import Finding, GateResult
from registry.pages import (
    BEGIN,
    END,
    ROOM,
    history_section,
    run_link,
    section_of,
    shortened,
    version_section,
    with_section,
    without_section,
)

NASTY = "<script>alert(1)</script> a|b\n\n# h [x](javascript:alert(1)) ![i](j) `c` <!-- qbias: end --> @who :smile: $m$ \\"
DAY_MS = 24 * 60 * 60 * 1000
RULE = Finding(
    "gaps", "review", "the interval reaches past the margin", kind="equivalence", metric="facet/skin_ld/macro_gap_at_1", candidate=0.12,
    baseline=0.1, difference=0.02, low=-0.0125, high=0.0525, margin=0.05, level=0.95, n=21_000,
)  # fmt: skip
COMPLETE = Finding("pairing", "pass", "same images")
RESULT = GateResult("review", (COMPLETE, RULE))


def record(sequence: int, kind: str = "review", **facts: str) -> Record:
    """A record of 2023-11-15 and later days."""
    common = {"version": "2", "reason": f"reason {sequence}"}
    by_kind = {
        "review": {"decision": "approve", "reviewer": "R. One", "gate": "review", "override": "false"},
        "promotion": {"alias": "champion", "from_version": "none", "to_version": "1", "promoter": "P. Two", "override": "false"},
    }
    own = by_kind["review" if kind == "review" else "promotion"]
    return Record(
        run_id=f"{sequence:032x}", experiment_id="3", kind=kind, model="toy", sequence=sequence, previous="", digest="",
        facts=common | own | facts, files={}, started_ms=1_700_000_000_000 + sequence * DAY_MS, finished=True,
    )  # fmt: skip


def rows(section: str, head: str) -> list[list[str]]:
    """Cells of the table whose head begins with these words."""
    tables = [block.splitlines() for block in section.split("\n\n") if block.startswith(f"| {head}")]
    (table,) = tables
    lines = [line for line in table[2:] if line.startswith("|")]
    return [[cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")] for line in lines]


def test_a_version_shows_verdict_rules_decision_and_report() -> None:
    section = version_section(RESULT, [record(1)], run_link("3", "abc", "report/report.html"))
    assert "### Review\n\nGate: 🟨 review\n" in section
    assert "[Report of the comparison](#/experiments/3/runs/abc/artifacts/report/report.html)" in section
    assert rows(section, "when") == [["2023-11-15 22:13", "approved", "R. One", "🟨 review", "reason 1"]]
    assert rows(section, "verdict") == [
        [
            "🟨 review", r"gaps, facet/skin\_ld/macro\_gap\_at\_1", "+0.02 [-0.0125, 0.0525]", "0.05", "21,000",
            "the interval reaches past the margin",
        ]
    ]  # fmt: skip
    assert "Checks of completeness that pass: 1." in section
    assert "mlflow run . -e audit" in section
    assert section.startswith(BEGIN)
    assert section.endswith(END)
    plain = version_section(RESULT, [])
    assert "Not reviewed yet." in plain
    assert "](" not in plain


def test_what_blocks_comes_first_and_cannot_be_missed() -> None:
    """Each verdict in its sign; findings by severity, an unknown verdict as the worst; a pass needs no reason."""
    floor = Finding("floor", "pass", "met", kind="floor", metric="imagenet/accuracy_at_1", candidate=0.61)
    worst = replace(RULE, rule="accuracy", verdict="block", reason="lost", low=None, high=float("nan"))
    odd = replace(RULE, rule="odd", verdict="maybe")  # type: ignore[arg-type]
    incomplete = Finding("on_record", "block", "the comparison is missing")
    section = version_section(GateResult("block", (floor, RULE, COMPLETE, worst, odd, incomplete)), [])
    assert "Gate: 🟥 **BLOCK**" in section
    table = rows(section, "verdict")
    assert [row[1].split(",")[0] for row in table] == ["odd", "accuracy", r"on\_record", "gaps", "floor"]
    assert [row[0] for row in table] == ["🟥 **BLOCK**"] * 3 + ["🟨 review", "🟩 pass"]
    assert table[1][2] == "+0.02 [, not a number]"
    assert table[-1][2:] == ["candidate 0.61", "", "", ""]
    assert version_section(GateResult("hm", ()), []).count("🟥 **BLOCK**") == 1  # type: ignore[arg-type]


def test_an_override_is_red_on_every_page() -> None:
    red = "🟥 **OVERRIDE**"
    overridden = record(2, gate="block", override="true")
    promoted = record(3, "promotion", override="true")
    section = version_section(GateResult("block", (RULE,)), [record(1), overridden])
    assert section.count(red) == 2
    assert rows(section, "when")[0][1:4] == [f"{red}: approved against the gate", "R. One", "🟥 **BLOCK**"]
    assert [red in row[2] for row in rows(history_section([record(1), overridden, promoted]), "#")] == [True, True, False]
    assert red not in version_section(RESULT, [overridden, record(3, decision="reject")]).split("| when")[0], "a later decision rules"
    assert red not in version_section(RESULT, [record(1)]) + history_section([record(1)])


def test_an_altered_record_is_red() -> None:
    altered = [replace(record(1), faults=("param differs",)), replace(record(2, "rollback"), faults=("param differs",))]
    assert all("🟥 **ALTERED RECORD**" in row[2] for row in rows(history_section(altered), "#"))
    assert "🟥 **ALTERED RECORD**" in version_section(RESULT, altered[:1])


def test_the_history_is_newest_first_with_its_runs() -> None:
    """In whatever order the records come; each number leads to the run; a signature is said."""
    signed = replace(record(4, "rollback", from_version="2", to_version="1"), public_key="ssh-ed25519 AAAA")
    events = [record(2, "promotion"), record(1), signed, record(3, "promotion", from_version="1", to_version="2", alias="a_b")]
    table = rows(history_section(events), "#")
    assert [row[0] for row in table] == [f"[{n}](#/experiments/3/runs/{n:032x})" for n in (4, 3, 2, 1)]
    assert [row[1] for row in table] == ["2023-11-18 22:13", "2023-11-17 22:13", "2023-11-16 22:13", "2023-11-15 22:13"]
    assert [row[2] for row in table] == [
        "🟧 rollback of champion: version 2 → 1",
        r"promotion of a\_b: version 1 → 2",
        "promotion of champion: version none → 1",
        "approved: version 2",
    ]
    assert [row[3] for row in table] == ["P. Two (with signature)", "P. Two", "P. Two", "R. One"]
    assert "1 → 2 (candidate version 7) |" in history_section(
        [replace(signed, facts={**events[3].facts, "production": "toy-prod", "version": "7"})]
    )
    repinned = record(1, "promotion", policy_digest="a", policy_next="b")
    assert "none → 1, policy changed |" in history_section([repinned])
    assert "policy changed" not in history_section([replace(repinned, facts=repinned.facts | {"policy_next": "a"}), record(2)])
    assert "**rejected**: version 2" in history_section([record(1, decision="reject")])
    assert "unknown decision" in history_section([record(1, decision="")])
    assert "Nothing yet." in history_section([])
    bare = replace(record(1), facts={}, run_id="../x")
    assert rows(history_section([bare]), "#")[0][0::3] == ["1", "not named"], "no link out of an id that is none"


def pages_of(text: str) -> list[str]:
    """Every section, with `text` wherever a person's words can stand."""
    facts = dict.fromkeys(("version", "decision", "reviewer", "promoter", "reason", "gate", "alias", "from_version", "to_version"), text)
    records = [
        record(1, **facts),
        record(2, "promotion", **(facts | {"reviewer": ""})),
        record(3, "rollback", **(facts | {"reviewer": ""})),
    ]
    finding = replace(RULE, rule=text, reason=text, metric=text, where=text)
    return [version_section(GateResult("review", (finding,)), records), history_section(records)]


def test_words_of_a_person_are_text() -> None:
    for section in pages_of(NASTY):
        assert "<script>" not in section
        assert "\n# h" not in section
        assert section.count(END) == 1
        assert section.count("\n|") == sum(line.startswith("|") for line in section.splitlines())
        heads = {line.count("|") for line in section.splitlines() if line.startswith("|---")}
        assert {line.count("|") - line.count("\\|") for line in section.splitlines() if line.startswith("|")} <= heads


@pytest.mark.parametrize("text", ["x" * 10_000, "& " * 5_000, "*" * 10_000])
def test_a_page_is_never_longer_than_mlflow_keeps(text: str) -> None:
    many = [record(n, reviewer=text, reason=text) for n in range(1, 200)]
    findings = tuple(replace(RULE, where=str(n), reason=text) for n in range(99))
    for section in (*pages_of(text), history_section(many), version_section(GateResult("review", findings), many)):
        assert len(section) <= ROOM
        assert section.endswith(END)
        for page in ("", "a person's own words", text, "### Use\n" + "y" * (MOST - 20)):
            both = with_section(page, section)
            assert len(both) <= MOST
            assert both.startswith(BEGIN)
    assert "Lines left out here: " in history_section(many)
    assert rows(history_section(many).split("\n\nLines")[0], "#")[0][0].startswith("[199]"), "the oldest go first"


def test_a_section_replaces_itself_and_keeps_the_rest() -> None:
    page = "**toy** is a CLIP\n\n### Use\n\ncode\n"
    first, second = history_section([record(1)]), history_section([record(1), record(2)])
    once = with_section(page, first)
    assert once == f"{first}\n\n{page}"
    assert with_section(once, second) == f"{second}\n\n{page}"
    assert with_section(with_section(once, second), first) == once
    assert without_section(once) == page
    assert with_section("", first) == first
    assert without_section(first) == ""
    assert (section_of(once), section_of(page)) == (first, "")
    moved = f"above\n\n{first}\n\nbelow"
    assert with_section(moved, second) == f"{second}\n\nabove\n\nbelow"
    half = f"{BEGIN} someone deleted the end\n\ntheir words"
    assert without_section(half) == half
    assert without_section(with_section(half, first)) == half, "a mark without its end takes nobody's words with it"


def test_a_long_page_of_a_person_is_kept_whole() -> None:
    """The section gives way down to its first lines."""
    section = history_section([record(n) for n in range(1, 40)])
    own = "z" * (MOST - 1000)
    assert with_section(own, section).endswith(own)
    assert "Lines left out here" in with_section(own, section)
    assert len(shortened(section, 10)) == 10


RENDER = """
const fs = require("fs"), folder = process.argv[1], read = (name) => fs.readFileSync(folder + "/" + name, "utf8");
const chunk = fs.readdirSync(folder).find((name) => name.endsWith(".js") && read(name).includes("simplifiedAutoLinks"));
(0, eval)(read(chunk));
const modules = globalThis.webpackChunk_mlflow_mlflow[0][1];
const id = Object.keys(modules).find((key) => modules[key].toString().includes("simplifiedAutoLinks"));
const made = { exports: {} };
modules[id].call(made.exports, made, made.exports, () => ({}));
const converter = new made.exports.Converter();
converter.setFlavor("github");
console.log(converter.makeHtml(fs.readFileSync(0, "utf8")));
"""


def rendered(markdown: str) -> str:
    """The HTML that MLflow's own pages make of it, before they clean it up: with the converter that MLflow ships."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed, which runs the converter of MLflow's pages")
    folder = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    done = subprocess.run([node, "-e", RENDER, str(folder)], input=markdown, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mlflows_converter_makes_tables_and_no_mark_up_of_words() -> None:
    """The words themselves show, sign by sign; no element, link or picture comes out of them."""
    first, second = pages_of(NASTY)
    html = rendered(with_section(first, second) + "\n\n" + first)
    assert html.count("<table>") == 3
    assert html.count("<td>&lt;script&gt;alert(1)&lt;/script&gt; a|b # h [x](javascript:alert(1)) ![i](j) `c`") >= 3
    assert "<td>@who</td>" in rendered(history_section([record(1, reviewer="@who")])).replace("&#64;", "@")
    assert not [tag for tag in ("<script", "<img", 'href="javascript', "github.com", "<code>c") if tag in html]
    assert '<a href="#/experiments/3/runs/00000000000000000000000000000003">3</a>' in html
    assert "<strong>ALTERED RECORD</strong>" in rendered(history_section([replace(record(1), faults=("x",))]))
