from importlib.metadata import version
from pathlib import Path

import numpy as np

from qbias.environment import LIBRARIES, library_version, machine_facts, stale_metadata

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
