"""What the registry's pages say in Markdown: pure functions of a model row, a quantizer, its coverage and the audit's numbers.

Words of a row may come from a user, so they are escaped and cut. MLflow's stores keep at most MOST characters of a description.
No page gives a verdict: it records what was made and measured.
"""

import html
import json
import re
import shlex
from collections.abc import Mapping

from qbias.model_rows import ModelRow
from qbias.quantizers import Coverage, Quantizer

MOST = 5000
LONGEST = 240
"""So many characters of Markdown one entry of a row may take."""
ALIAS = "champion"
PRODUCTION = "-prod"
"""What the production model's name has after the candidate's: candidates stand under `<name>`, promoted copies under `<name>-prod`."""
ENTITIES = {"@": "&#64;", "$": "&#36;", ":": "&#58;"}
URL = re.compile(r"https?://[\w./:%?=&#~@+,-]+")
REVIEW = (
    "**Review required.** These figures record what was made and measured, on fixed probes and on one machine. They do not say how "
    "the model treats anyone: quantization can change accuracy and disparities in ways that no single figure foretells. The verb "
    f"`promote` moves the alias `{ALIAS}`, on the production model, only with complete evidence and a named person's recorded approval."
)
PROMOTED = (
    f"`{ALIAS}` exists once a version was promoted: `promote` copies it to the production model `<name>{PRODUCTION}`, which only promoters "
    f"change (a set-up for one user may promote under `<name>` itself). `models:/<name>/<version>` names any candidate."
)

Place = tuple[str, str, tuple[str, ...]]
"""A line of the audit's table: its label, the form of its value, and the metrics that fill the form."""
AUDIT: tuple[Place, ...] = (
    ("linear layers quantized; kept in float", "{:.0f}; {:.0f}", ("audit/layers/quantized", "audit/layers/kept")),
    ("share of parameters quantized", "{:.1%}", ("audit/coverage/parameters",)),
    ("share of multiply-adds in quantized layers", "{:.1%}", ("audit/coverage/multiply_adds",)),
    ("weights on disk; share of float32's", "{:,.0f} bytes; {:.1%}", ("audit/bytes/disk", "audit/bytes/disk_share")),
    ("cosine to the baseline, images: mean; least", "{:.5f}; {:.5f}", ("audit/drift/image/cosine_mean", "audit/drift/image/cosine_min")),
    ("cosine to the baseline, texts: mean; least", "{:.5f}; {:.5f}", ("audit/drift/text/cosine_mean", "audit/drift/text/cosine_min")),
    ("an image's 10 nearest texts that stay among them", "{:.1%}", ("audit/neighbours/image_to_text/overlap_at_10",)),
    ("noisiest layer, images: signal to quantization noise", "{:.1f} dB", ("audit/sqnr/image/min",)),
    ("noisiest layer, texts: signal to quantization noise", "{:.1f} dB", ("audit/sqnr/text/min",)),
    ("largest difference by what shares the batch, images", "{:.2g}", ("audit/batch/image/difference",)),
    ("largest difference by what shares the batch, texts", "{:.2g}", ("audit/batch/text/difference",)),
    ("time: one image; one text (where it ran)", "{:.3g} ms; {:.3g} ms", ("audit/speed/image/latency_1", "audit/speed/text/latency_1")),
)  # fmt: skip


def model_description(row: ModelRow) -> str:
    """The page of a registered model: what it is, where it comes from, how its versions are used.

    Parameters
    ----------
    row : the model.

    Returns
    -------
    Markdown of at most MOST characters.
    """
    parts = [
        f"**{escaped(row.name)}** is a CLIP: it turns images and texts into vectors that can be compared. Each version holds one precision "
        "of it, with weights of its own; the baseline is `fp32`, and the other precisions are compared with it.",
        _origin(row),
        "### Use",
        usage(f"models:/{row.name}{PRODUCTION}@{ALIAS}"),
        PROMOTED,
        REVIEW,
    ]
    return _page(parts)


def production_description(name: str) -> str:
    """The page of a production model: whose promoted versions it holds, and how they are used; `name` is the candidates' model.

    Returns
    -------
    Markdown of at most MOST characters.
    """
    promoted = escaped(name + PRODUCTION)
    parts = [
        f"**{promoted}** holds the promoted versions of **{escaped(name)}**: copies of candidates, with the weights that were reviewed. "
        "Its aliases are moved by `mlflow run . -e promote` and `-e rollback`; only promoters need the right to change it.",
        "### Use",
        usage(f"models:/{name}{PRODUCTION}@{ALIAS}"),
        REVIEW,
    ]
    return _page(parts)


def version_description(row: ModelRow, quantizer: Quantizer, coverage: Coverage, metrics: Mapping[str, float], *, uri: str) -> str:
    """The page of a version: how it was quantized, what the audit found, how this very version is loaded and served.

    Parameters
    ----------
    row : the model. quantizer : its precision. coverage : what the quantizer reached. metrics : the audit's, by name.
    uri : where exactly this version is found.

    Returns
    -------
    Markdown of at most MOST characters.
    """
    return _page([_quantized(row, quantizer, coverage), "### Audit", audit_table(metrics), "### Use", usage(uri), REVIEW])


def model_card(row: ModelRow, quantizer: Quantizer, coverage: Coverage, metrics: Mapping[str, float]) -> str:
    """The model card of a version: both pages in one, with the settings, the layers in float and the published figures.

    Parameters
    ----------
    row : the model. quantizer : its precision. coverage : what the quantizer reached. metrics : the audit's, by name.

    Returns
    -------
    Markdown of any length.
    """
    kept = ", ".join(map(_code, coverage.kept_float)) or "none"
    published = [(escaped(name), f"{value:.4f}") for name, value in row.expected.items()]
    parts = [
        f"# {escaped(row.name)}, {quantizer.name}",
        _quantized(row, quantizer, coverage),
        "## Source",
        _origin(row),
        *(["Published figures of the float model, not measured here:", _table(("metric", "published"), published)] if published else []),
        "## Quantization",
        f"Settings: {_code(json.dumps(dict(quantizer.settings), sort_keys=True))}",
        f"Linear layers in float: {kept}.",
        "## Audit",
        audit_table(metrics),
        "All figures, with the reason for each that could not be had, are in `audit.json`; the registration run also has them by layer.",
        "## Use",
        usage(f"models:/{row.name}{PRODUCTION}@{ALIAS}"),
        PROMOTED,
        "## Limits",
        REVIEW,
    ]
    return "\n\n".join(parts) + "\n"


def audit_table(metrics: Mapping[str, float]) -> str:
    """The audit's main figures as a table of two columns; what was not measured is left out.

    Examples
    --------
    >>> print(audit_table({"audit/coverage/parameters": 0.5, "audit/layers/quantized": 3.0}))
    | measured | value |
    |---|---|
    | share of parameters quantized | 50.0% |
    """
    rows = [(says, form.format(*map(metrics.get, names))) for says, form, names in AUDIT if metrics.keys() >= set(names)]
    return _table(("measured", "value"), rows) if rows else "Nothing was measured."


def usage(uri: str) -> str:
    """How a version is loaded in Python, served, and asked over HTTP; `uri` is its address in the registry."""
    load = (
        "import mlflow\n"
        "import pandas as pd\n\n"
        f"model = mlflow.pyfunc.load_model({json.dumps(uri)})\n"
        'texts = model.predict(pd.DataFrame({"text": ["a photo of a robot"]}))\n'
        'images = model.predict(pd.DataFrame({"image": [open("robot.png", "rb").read()]}))\n'
        "similarity = images @ texts.T  # rows have length 1, so this is the cosine"
    )
    records = json.dumps({"dataframe_records": [{"text": "a photo of a robot"}, {"image": "<base64 of an image file>"}]})
    serve = (
        f"mlflow models serve -m {shlex.quote(uri)} \\\n    --env-manager local --port 5001\n"
        f"curl http://127.0.0.1:5001/invocations \\\n    -H 'Content-Type: application/json' \\\n    -d {shlex.quote(records)}"
    )
    needs = "`--env-manager local` takes the packages that are installed; without it MLflow installs those of the version first."
    return f"{_fenced('python', load)}\n\n{_fenced('bash', serve)}\n\n{needs}"


def escaped(text: str, most: int = LONGEST) -> str:
    r"""Text of a user as one line of Markdown that shows it as it is; web addresses become links, what is too long is cut.

    MLflow's pages also make a link of `@name`, a picture of `:name:` and, elsewhere, mathematics of `$`: these go in as entities, because
    a backslash before them would show.

    Examples
    --------
    >>> print(escaped("*a|b*  <i> https://host/x_y"))
    \*a\|b\* &lt;i&gt; <https://host/x_y>
    """
    words = " ".join(text.split())
    words = words if len(words) <= most else words[: most - 1] + "…"
    while len(line := " ".join(f"<{word}>" if URL.fullmatch(word) else _plain(word) for word in words.split(" "))) > most:
        words = words[: len(words) * 9 // 10 - 1] + "…"
    return line


def _plain(word: str) -> str:
    plain = re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", html.escape(word, quote=False))
    return re.sub(r"[@$]|:(?=\S+:)", lambda found: ENTITIES[found[0]], plain)


def _origin(row: ModelRow) -> str:
    architecture = f"{row.architecture}, {row.tag}" if row.tag else row.architecture
    facts = {
        "architecture": architecture,
        "trained on": row.source,
        "licence of the weights": row.licence,
        "source": row.home,
        "citation": row.citation,
    }
    return _table(("", ""), [(name, escaped(value)) for name, value in facts.items()])


def _quantized(row: ModelRow, quantizer: Quantizer, coverage: Coverage) -> str:
    """How a version was made, in words."""
    what = f"{escaped(row.name)} in precision `{quantizer.name}`"
    if quantizer.bits == 32:
        return f"{what}: the float baseline, which the other precisions are compared with."
    batch = "depends" if quantizer.batch_dependent else "does not depend"
    return (
        f"{what}: {coverage.quantized} of {coverage.total} linear layers hold weights of {quantizer.bits} bits, quantized with "
        f"{escaped(quantizer.library)} ({escaped(quantizer.source)}). An embedding {batch} on what else is in its batch."
    )


def _table(heads: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| {} | {} |".format(*heads), "|---|---|", *("| {} | {} |".format(*row) for row in rows)])


def _code(text: str) -> str:
    """A code span that shows `text`, whatever backticks it holds."""
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if len(ticks) > 1 else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _fenced(language: str, text: str) -> str:
    ticks = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _page(parts: list[str]) -> str:
    return "\n\n".join(parts)[:MOST]
