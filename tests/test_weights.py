"""What is said of a tensor that does not fit, and of a library's error."""

from qbias.weights import misfit, reason


def test_what_fits_has_no_fault() -> None:
    import torch

    assert misfit(torch.zeros(2, 3, dtype=torch.float16), (2, 3)) == ""
    assert misfit(torch.zeros(2, 3), (3, 2)) == "has shape (2, 3), expected (3, 2)"


def test_a_reason_is_one_short_line() -> None:
    assert reason(ValueError("a\n  b")) == "ValueError: a b"
    assert reason(EOFError()) == "EOFError"
    assert len(reason(ValueError("x" * 1000))) < 330
