from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from qbias.environment import LIBRARIES, STUDY, library_version, machine_facts, quantizers_named, stale_metadata
from qbias.quantizers import QUANTIZERS

PROJECT = Path(__file__).resolve().parent.parent


def test_machine_facts_are_texts_and_name_every_library():
    facts = machine_facts()
    assert set(LIBRARIES) < set(facts)
    assert {"cpu_capability", "quantized_engine", "threads"} < set(facts)
    assert all(isinstance(value, str) and value for value in facts.values())
    assert facts["numpy"] == np.__version__


def test_a_library_that_is_not_there_is_absent():
    assert library_version("no-such-library-at-all") == "absent"


def test_a_folder_without_a_project_says_nothing(tmp_path):
    assert stale_metadata(tmp_path) is None


def test_this_checkout_is_installed_as_it_stands():
    assert stale_metadata(PROJECT) is None


def test_a_newer_checkout_is_noticed(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "qbias"\nversion = "99.0"\ndependencies = []\n')
    assert version("qbias") in (stale_metadata(tmp_path) or "")
    assert "pip install ." in (stale_metadata(tmp_path) or "")


def test_another_dependency_is_noticed(tmp_path):
    declared = (PROJECT / "pyproject.toml").read_text().replace('"scipy==1.*"', '"scipy==1.*",\n    "cowsay"')
    (tmp_path / "pyproject.toml").write_text(declared)
    assert "cowsay" in (stale_metadata(tmp_path) or "")


def test_all_quantizers_are_those_that_can_run_here(monkeypatch):
    monkeypatch.delenv("QBIAS_DEVICE", raising=False)
    assert [row.name for row in quantizers_named("all")] == [name for name, row in QUANTIZERS.items() if "cpu" in row.runs_on]
    assert [row.name for row in quantizers_named("ort-int8, fp32")] == ["fp32", "ort-int8"]
    assert tuple(row.name for row in quantizers_named("study")) == STUDY
    monkeypatch.setitem(QUANTIZERS, "bnb-nf4", replace(QUANTIZERS["bnb-nf4"], packages=("no-such-library",)))
    assert "bnb-nf4" not in [row.name for row in quantizers_named("all")]


def test_quantizers_that_cannot_run_are_refused_by_name_all_at_once(monkeypatch):
    monkeypatch.delenv("QBIAS_DEVICE", raising=False)
    monkeypatch.setitem(QUANTIZERS, "bnb-nf4", replace(QUANTIZERS["bnb-nf4"], packages=("no-such-library",)))
    both = "fp16 runs on cuda only.*leave fp16 out; bnb-nf4 cannot run here: no-such-library is not installed: pip install no-such-library"
    with pytest.raises(ValueError, match=both):
        quantizers_named("fp32,bnb-nf4,fp16")
    with pytest.raises(ValueError, match="unknown quantizer 'int3'"):
        quantizers_named("int3")
    with pytest.raises(ValueError, match="no quantizer named"):
        quantizers_named(" , ")
