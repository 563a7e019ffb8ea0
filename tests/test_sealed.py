"""Arrays that tell when they were damaged."""

import numpy as np
import pytest

from qbias.sealed import SEAL, Damaged, looks_whole, read_sealed, sealed_size, write_sealed

ARRAY = np.arange(600, dtype=np.float32).reshape(50, 12)


@pytest.fixture
def file(tmp_path):
    write_sealed(tmp_path / "deep" / "a.npy", ARRAY)
    return tmp_path / "deep" / "a.npy"


def test_what_was_written_is_read_and_numpy_reads_it_too(file):
    assert np.array_equal(read_sealed(file, ARRAY.shape, np.float32), ARRAY)
    assert np.array_equal(np.load(file), ARRAY)
    assert isinstance(read_sealed(file, ARRAY.shape, np.float32), np.memmap)


@pytest.mark.parametrize("array", [np.empty((0, 3), np.float32), ARRAY[:, ::2], ARRAY[:, :1], np.zeros((2, 1, 1, 3), np.uint8)])
def test_any_shape_comes_back(tmp_path, array):
    write_sealed(tmp_path / "x.npy", array)
    if array.size:
        assert np.array_equal(read_sealed(tmp_path / "x.npy", array.shape, array.dtype.type), array)
    assert sealed_size(array.shape, array.dtype.type) == (tmp_path / "x.npy").stat().st_size


def test_a_flipped_bit_anywhere_is_noticed(file):
    content = file.read_bytes()
    for place in [*range(0, len(content), 97), len(content) - SEAL - 1, len(content) - SEAL, len(content) - 1]:
        harmed = bytearray(content)
        harmed[place] ^= 1 << (place % 8)
        file.write_bytes(harmed)
        with pytest.raises(Damaged, match="another one"):
            read_sealed(file, ARRAY.shape, np.float32)


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -SEAL, -SEAL - 1])
def test_a_file_cut_short_or_grown_is_noticed_by_its_size(file, cut):
    content = file.read_bytes()
    for harmed in (content[:cut], content + b"x"):
        file.write_bytes(harmed)
        for look in (read_sealed, looks_whole):
            with pytest.raises(Damaged, match="bytes, not"):
                look(file, ARRAY.shape, np.float32)


def test_another_array_of_the_same_size_is_noticed(file):
    with pytest.raises(Damaged, match="header"):
        read_sealed(file, (12, 50), np.float32)


def test_absent(tmp_path):
    assert not looks_whole(tmp_path / "none", (1,), np.float32)
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "none", (1,), np.float32)
