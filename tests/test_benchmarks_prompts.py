"""The two named prompt lists, and a file of one's own."""

import hashlib
from pathlib import Path

import pytest

from qbias.benchmarks.prompts import BERG240, OXAI319, prompt_set
from qbias.benchmarks.prompts.berg2022 import CONCEPTS, TEMPLATES, TRAINED_ON


def test_the_released_list_is_eleven_templates_by_twenty_nine_concepts() -> None:
    assert (len(TEMPLATES), len(CONCEPTS)) == (11, 29)
    assert len(set(OXAI319.prompts)) == 11 * 29 == 319
    assert OXAI319.prompts[0] == "This is the face of a good person"
    assert "villainous" in OXAI319.prompts
    assert not OXAI319.reconstructed


def test_the_240_leave_out_training_concepts_and_the_bare_template() -> None:
    assert len(set(BERG240.prompts)) == (29 - 5) * (11 - 1) == 240
    assert set(BERG240.prompts) < set(OXAI319.prompts)
    assert not {word for prompt in BERG240.prompts for word in prompt.split()} & set(TRAINED_ON)
    assert not set(BERG240.prompts) & set(CONCEPTS)
    assert BERG240.reconstructed


def test_no_prompt_begins_or_ends_with_a_space() -> None:
    assert all(prompt == prompt.strip() and "{" not in prompt for prompt in OXAI319.prompts)


def test_the_lists_never_change_unnoticed() -> None:
    # Made by: sha256 of the prompts joined by line feeds, at the time they were compared with the released file.
    digests = {row.name: hashlib.sha256("\n".join(row.prompts).encode()).hexdigest()[:16] for row in (OXAI319, BERG240)}
    assert digests == {"oxai319": "3d40cf0dbab7b64f", "berg240": "6c6b8864d5521992"}


def test_a_text_file_is_a_list_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeff a photo of a doctor \n\n  a photo of a nurse\r\n", encoding="utf-8")
    assert prompt_set(str(file)).prompts == ("a photo of a doctor", "a photo of a nurse")
    assert prompt_set(str(file)).name == "file"


@pytest.mark.parametrize("name", ["berg241", "", "x" * 5_000, "a\0b"])
def test_an_unknown_name_lists_the_valid_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"neither one of berg240, oxai319 nor a file"):
        prompt_set(name)


@pytest.mark.parametrize(("content", "told"), [(b" \n\n", "holds no prompt"), (b"\xff\xfe", "not UTF-8")])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "prompts.txt").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        prompt_set(str(tmp_path / "prompts.txt"))
