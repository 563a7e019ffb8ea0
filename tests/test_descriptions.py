"""registry.descriptions: pages that render as meant, whatever a row's words are, and that give no verdict."""

import dataclasses
import re
from pathlib import Path

import pytest

from qbias.audit import METRICS
from qbias.model_rows import ModelRow
from qbias.models import MODELS
from qbias.quantizers import QUANTIZERS, Coverage
from registry import descriptions
from registry.descriptions import (
    AUDIT,
    MOST,
    audit_table,
    escaped,
    model_card,
    model_description,
    production_description,
    usage,
    version_description,
)

COVERAGE = Coverage(25, 26, 1_000, 2_000, ("text_projection",))
MEASURED = {name: 0.25 for name in METRICS}
ROW = MODELS["clip-vit-b-32-openai"]
NASTY = "a|b `c` *d* [e](javascript:f) <script>g</script>\n\n# h & ![i](j) ~~k~~ $l$ \\"


def nasty_row(text: str) -> ModelRow:
    """A row all of whose words are `text`."""
    words = {field: text for field in ("source", "size", "architecture", "tag", "licence", "home", "citation")}
    return dataclasses.replace(ROW, name="own-clip", **words, folder=lambda: Path())  # type: ignore[arg-type]


def all_pages(row: ModelRow) -> list[str]:
    """Every page of a row in every precision."""
    pages = [model_description(row)]
    for quantizer in QUANTIZERS.values():
        pages.append(version_description(row, quantizer, COVERAGE, MEASURED, uri="models:/m-0123"))
        pages.append(model_card(row, quantizer, COVERAGE, MEASURED))
    return pages


def tables(page: str) -> list[list[str]]:
    """The lines of each table of a page."""
    return [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]


@pytest.mark.parametrize("name", MODELS)
def test_every_page_of_every_row(name: str) -> None:
    """Source, licence and citation are named; descriptions fit into MLflow's stores; tables are whole; a review is asked for."""
    row = MODELS[name]
    for page in all_pages(row):
        assert "**Review required.**" in page
        assert not re.search(r"\b(un)?biased\b|\bfair\b|\bsafe\b", page.lower().replace("fairface", ""))
        assert page.count("```") % 2 == 0
        assert all(line.count("|") - line.count(r"\|") == 3 for lines in tables(page) for line in lines)
        assert page.startswith("# ") or len(page) < MOST
    for page in (model_description(row), model_card(row, QUANTIZERS["fp32"], COVERAGE, {})):
        assert all(escaped(word) in page for word in (row.source, row.licence, row.home, row.citation, row.architecture))


def test_the_model_page_says_how_versions_are_found() -> None:
    """The alias that promotion moves, and any other version."""
    page = model_description(ROW)
    assert page.startswith("**clip-vit-b-32-openai** is a CLIP")
    assert "| source | <https://github.com/openai/CLIP> |" in page
    assert 'mlflow.pyfunc.load_model("models:/clip-vit-b-32-openai-prod@champion")' in page
    assert "mlflow models serve -m models:/clip-vit-b-32-openai-prod@champion \\\n    --env-manager local" in page


def test_the_production_page_says_whose_versions_it_holds() -> None:
    """Copies of the candidates' versions, found by the alias; a name with mark-up stays one."""
    page = production_description(ROW.name)
    assert page.startswith("**clip-vit-b-32-openai-prod** holds the promoted versions of **clip-vit-b-32-openai**")
    assert 'load_model("models:/clip-vit-b-32-openai-prod@champion")' in page
    assert "<script>" not in production_description("<script>*x*").split("### Use")[0]
    assert "**Review required.**" in page
    assert len(page) < MOST


def test_the_version_page_names_this_version() -> None:
    """How it was quantized, whether the batch matters, the audit, and the address of this very version."""
    page = version_description(ROW, QUANTIZERS["bnb-nf4"], COVERAGE, MEASURED, uri="models:/m-0123")
    assert "25 of 26 linear layers hold weights of 4 bits, quantized with bitsandbytes" in page
    assert "does not depend on what else is in its batch" in page
    assert "| share of multiply-adds in quantized layers | 25.0% |" in page
    assert 'load_model("models:/m-0123")' in page
    assert "-m models:/m-0123 " in page
    assert "embedding depends on" in version_description(ROW, QUANTIZERS["bnb-int8"], COVERAGE, {}, uri="models:/m-0123")
    baseline = version_description(ROW, QUANTIZERS["fp32"], COVERAGE, MEASURED, uri="models:/m-0123")
    assert "the float baseline, which the other precisions are compared with" in baseline
    assert "linear layers hold" not in baseline


def test_the_card_has_what_the_pages_have_no_room_for() -> None:
    """Settings, the layers in float, and published figures as such."""
    card = model_card(ROW, QUANTIZERS["bnb-nf4"], COVERAGE, MEASURED)
    assert card.startswith("# clip-vit-b-32-openai, bnb-nf4\n")
    assert '"bnb_4bit_quant_type": "nf4"' in card
    assert "Linear layers in float: `text_projection`." in card
    assert "not measured here" in card
    assert "| imagenet/accuracy\\_at\\_1 | 0.6332 |" in card
    own = model_card(nasty_row("x"), QUANTIZERS["fp32"], dataclasses.replace(COVERAGE, kept_float=()), MEASURED)
    assert "Linear layers in float: none." in own
    assert "not measured here" in model_card(dataclasses.replace(ROW), QUANTIZERS["fp32"], COVERAGE, MEASURED)
    assert "not measured here" not in model_card(dataclasses.replace(ROW, expected={}), QUANTIZERS["fp32"], COVERAGE, MEASURED)


def test_the_table_shows_what_the_audit_measures() -> None:
    """Every metric that the table asks for is one of the audit's; what is not there is left out, not made up."""
    assert {name for _, _, names in AUDIT for name in names} <= METRICS.keys()
    assert len(audit_table(MEASURED).splitlines()) == len(AUDIT) + 2
    some = audit_table({"audit/layers/quantized": 3.0, "audit/coverage/parameters": 0.125})
    assert some.splitlines()[2:] == ["| share of parameters quantized | 12.5% |"]
    assert audit_table({}) == "Nothing was measured."


def test_words_of_a_user_are_shown_as_they_are() -> None:
    """No mark-up, HTML, link or further line comes out of a row's words, and a table stays a table."""
    for page in all_pages(nasty_row(NASTY)):
        assert "<script>" not in page
        assert "\n# h" not in page
        assert r"\[e\]\(javascript:f\)" in page or "### Audit" in page
        assert all(line.count("|") - line.count(r"\|") == 3 for lines in tables(page) for line in lines)
    assert escaped("https://host/a_b?c=d*") == r"https://host/a\_b?c=d\*", "not an address that needs no escape"
    assert escaped("see https://host/a_b .") == "see <https://host/a_b> ."
    assert escaped(" a \n\n b\t") == "a b"
    assert escaped("@octocat costs $5 :smile: at 10:30") == "&#64;octocat costs &#36;5 &#58;smile: at 10:30"
    assert escaped("") == ""


@pytest.mark.parametrize("text", ["x" * 10_000, "&" * 10_000, "* " * 10_000, "https://" + "x" * 10_000])
def test_long_words_are_cut(text: str) -> None:
    """Nobody's citation makes a description that a store refuses."""
    assert all(page.startswith("# ") or len(page) < MOST for page in all_pages(nasty_row(text)))
    assert len(escaped(text)) <= descriptions.LONGEST
    assert "…" in escaped(text)


def test_code_holds_any_name() -> None:
    """A name with quotes or backticks stays within the code, and the code stays valid."""
    page = usage('models:/it\'s ```"x"/1')
    assert page.count("````") == 4
    assert r'load_model("models:/it' in page
    assert "-m 'models:/it'\"'\"'s" in page
    compile(usage('models:/it\'s "x"/1').split("```")[1].removeprefix("python"), "usage", "exec")
    assert descriptions._code("a``b") == "``` a``b ```"
