import pytest

from qbias.tables import pick, pick_many, split_names

TABLE = {"bnb-int8": 1, "bnb-nf4": 2, "torch-int8": 3}


def test_unknown_name_lists_the_valid_ones_and_the_nearest():
    with pytest.raises(ValueError, match="bnb-nf4") as caught:
        pick(TABLE, "bnb-nf5", what="quantizer")
    assert "Did you mean 'bnb-nf4'?" in str(caught.value)
    assert "bnb-int8, bnb-nf4, torch-int8" in str(caught.value)


def test_name_without_a_neighbour_gets_no_guess():
    with pytest.raises(ValueError, match="unknown quantizer 'zzz'") as caught:
        pick(TABLE, "zzz", what="quantizer")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(("names", "rows"), [("all", [1, 2, 3]), ("torch-int8, bnb-int8", [1, 3]), ("bnb-nf4,bnb-nf4", [2])])
def test_lists_come_in_the_tables_order(names, rows):
    assert pick_many(TABLE, names, what="quantizer") == rows


def test_an_empty_list_is_an_error():
    with pytest.raises(ValueError, match="no quantizer named"):
        pick_many(TABLE, " , ", what="quantizer")


def test_split_names_drops_blanks():
    assert split_names("a, ,b") == ["a", "b"] == split_names(["a ", " b"])
