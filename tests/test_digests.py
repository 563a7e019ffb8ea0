import pytest

from qbias.digests import bytes_digest, file_digest, folder_digests, json_digest, mapping_digest


def test_digest_of_the_empty_text_is_the_published_one():
    # FIPS 180-2, sha256 of no bytes at all.
    assert bytes_digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_json_digest_ignores_key_order_and_sees_every_value():
    assert json_digest({"a": 1, "b": [2, 3]}) == json_digest({"b": (2, 3), "a": 1})
    assert json_digest({"a": 1}) != json_digest({"a": 1.5})
    assert mapping_digest({"x": "1", "y": "2"}) == mapping_digest({"y": "2", "x": "1"})


def test_json_digest_refuses_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        json_digest({"a": float("nan")})


def test_folder_digests_name_files_and_change_with_one_byte(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.bin").write_bytes(b"1")
    (tmp_path / "b.bin").write_bytes(b"2" * 3_000_000)
    before = folder_digests(tmp_path)
    assert list(before) == ["b.bin", "deep/a.bin"]
    assert before["b.bin"] == bytes_digest(b"2" * 3_000_000) == file_digest(tmp_path / "b.bin")
    (tmp_path / "deep" / "a.bin").write_bytes(b"2")
    after = folder_digests(tmp_path)
    assert after["deep/a.bin"] != before["deep/a.bin"]
    assert after["b.bin"] == before["b.bin"]
