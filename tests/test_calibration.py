"""Calibration: the claims' arithmetic, that a broken method is noticed, and that the seed alone decides what comes out."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from benches.calibration import intervals, models, planted, skews, worlds
from benches.calibration.__main__ import main, write
from benches.calibration.claims import Claim, Simulation, claim, lines, made
from benches.calibration.document import SECTIONS, document
from benches.calibration.figures import figures
from benches.calibration.runs import SIMULATIONS, run
from qbias.records import Insufficient
from qbias.significance.bootstrap import Studentized

QUICK = [row for row in SIMULATIONS if row.name in ("margin 0.5", "inflation 0.3", "accuracy 200 0.15", "retrieval 100 0.15")]


@pytest.fixture(scope="module")
def quick() -> dict[str, list[Claim]]:
    return run(QUICK, size=0.01, processes=1)


def random() -> np.random.Generator:
    return np.random.default_rng(7)


def verdicts(simulated: list[Claim]) -> dict[str, str]:
    return {row.what: row.verdict for row in simulated}


def test_a_claim_is_mean_and_standard_error_of_its_replications():
    found = claim("what", "setting", [True] * 10 + [False] * 90, most=0.05)
    assert (found.estimate, found.replications) == (0.1, 100)
    assert found.error == pytest.approx((0.1 * 0.9 / 100) ** 0.5)


def test_statistics_of_one_replication_are_not_taken_for_independent_ones():
    alike, mixed = ([row, row, row] for row in ([1.0, 0.0], [0.5, 0.5]))
    assert claim("", "", np.mean(alike, axis=0)).error > claim("", "", np.mean(alike, axis=1)).error
    assert claim("", "", np.mean(mixed, axis=1)).error > 0


@pytest.mark.parametrize(
    ("estimate", "most", "least", "verdict"),
    [
        (0.069, 0.05, None, "reached"),
        (0.071, 0.05, None, "missed"),
        (0.931, None, 0.95, "reached"),
        (0.929, None, 0.95, "missed"),
        (0.5, None, None, "information"),
        (0.991, 0.97, 0.93, "missed"),
        (0.985, 0.97, 0.93, "reached"),
    ],
)
def test_bounds_are_read_with_two_monte_carlo_errors(estimate, most, least, verdict):
    assert Claim("", "", estimate, 0.01, 100, most, least).verdict == verdict


def test_only_a_miss_without_a_reason_is_unexplained():
    missed = Claim("", "", 0.5, 0.01, 100, most=0.05)
    assert missed.unexplained
    assert not replace(missed, reason="known").unexplained
    assert not replace(missed, estimate=0.05).unexplained


def test_simulated_data_without_a_result_are_an_error():
    with pytest.raises(RuntimeError, match="no model"):
        made(Insufficient("gap", "no model"))


def test_names_are_unique_because_they_seed():
    assert len({row.name for row in SIMULATIONS}) == len(SIMULATIONS)
    assert {row.section for row in SIMULATIONS} == set(SECTIONS)


def test_the_seed_alone_decides_and_neither_order_nor_processes(quick):
    backward = run(QUICK[::-1], size=0.01, processes=1)
    assert backward == {section: rows[::-1] for section, rows in quick.items()}
    assert run(QUICK, size=0.01, processes=2) == quick


def test_another_name_gives_other_numbers():
    one, other = (Simulation(name, "", partial(models.at_margin, spread=0.5), 400) for name in ("one", "other"))
    assert one.claims() != other.claims()


def narrower(found: Studentized, **options: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = intervals_of(found, **options)
    middle = (low + high) / 2
    return middle + 0.7 * (low - middle), middle + 0.7 * (high - middle)


intervals_of = intervals.intervals


def test_an_interval_that_is_too_narrow_is_missed(monkeypatch):
    simulate = partial(intervals.accuracy, images=400, churn=0.15)
    assert [row.verdict for row in simulate(random(), 300)] == ["reached"]
    monkeypatch.setattr(intervals, "intervals", narrower)
    (found,) = simulate(random(), 300)
    assert found.unexplained
    assert found.estimate < 0.9


def test_an_interval_that_is_too_wide_is_missed_too(monkeypatch):
    monkeypatch.setattr(intervals, "intervals", lambda found: (found.change_T - 4 * found.error_T, found.change_T + 4 * found.error_T))
    (found,) = intervals.accuracy(random(), 300, images=400, churn=0.15)
    assert found.unexplained


def test_a_band_of_single_intervals_is_missed(monkeypatch):
    monkeypatch.setattr(intervals, "band", lambda found: (*intervals_of(found), 0.0))
    found = verdicts(intervals.classes(random(), 100, count=20, churn=0.15))
    assert found["band holds all classes at once"] == "missed"
    assert found["interval of the macro gap's change"] == "reached"


def test_a_t_test_at_the_wrong_level_is_missed(monkeypatch):
    real = models.t_test
    monkeypatch.setattr(models, "t_test", lambda row: replace(real(row), p=real(row).p / 2))
    found = verdicts(models.shaped(random(), 400, shape="normal"))
    assert found == {
        "paired t-test rejects, nothing changed": "missed",
        "sign-flip test rejects, nothing changed": "reached",
        "Wilcoxon's test rejects, nothing changed": "reached",
    }


def test_uncorrected_cells_are_missed(monkeypatch):
    real = models.corrected
    monkeypatch.setattr(
        models, "corrected", lambda p, family: {key: replace(row, holm=row.p) for key, row in real(p, family=family).items()}
    )
    assert [row.verdict for row in models.family(random(), 20, correlation=0.0)] == ["missed"]


def test_a_planted_change_counts_only_in_its_place_and_with_its_sign():
    world = worlds.drawn_world(random(), classes=planted.CLASSES, least=200, most=200, churn=0.02)
    seen = planted.seen(random(), planted.with_class(world, 200), 80, -0.4)
    assert (seen.found, seen.wrong, seen.held) == (True, False, True)
    assert abs(seen.error) < 0.1
    other = planted.seen(random(), planted.with_class(world, 200), 80, 0.4)
    assert not other.held


def test_nothing_planted_leaves_the_images_as_they_are():
    before, after = np.array([True, False] * 50), np.array([True, True, False, False] * 25)
    first, second = worlds.swapped(random(), before, after)
    assert np.array_equal(first ^ second, before ^ after)
    assert np.array_equal(first & second, before & after)
    assert not np.array_equal(first, before)


def test_worlds_keep_the_chances_they_were_given():
    world = worlds.drawn_world(random(), classes=3, least=4000, most=5000, churn=0.1, shift=0.5)
    before, after = world.outcomes(random())
    place = world.label_N, world.group_N
    for hits, chance in ((before, world.recall_CG), (after & ~before, world.gain_CG), (before & ~after, world.loss_CG)):
        share = np.zeros((3, 2))
        np.add.at(share, place, hits)
        assert np.abs(share / world.size_CG - chance).max() < 0.03
    assert np.bincount(world.label_N).tolist() == world.size_CG.sum(axis=1).tolist()


def test_the_true_mean_skew_is_what_a_large_sample_shows():
    world = skews.population(random(), groups=3, images=8000, shift=1.0)
    before, after = world.orders(random(), 120)
    k = len(world.code_N) // 10
    shares = [[np.bincount(world.code_N[row[:k]], minlength=3) / k for row in side] for side in (before, after)]
    seen = np.diff(np.log(shares).mean(axis=1), axis=0)[0]
    assert np.abs(seen - world.truth(random(), 0.1)).max() < 0.06


def test_the_page_says_what_misses_and_links_its_figures(quick, tmp_path):
    section = "Tests over models"
    claims = quick | {
        section: [*quick[section], Claim("a test rejects", "no change", 0.5, 0.01, 100, most=0.05, reason="known, approximate")]
    }
    write(claims, tmp_path)
    page = (tmp_path / "calibration.md").read_text()
    assert "- **a test rejects** (no change): 50.0 % against at most 5 %; known" in page
    assert page.count("**missed**") == sum(row.verdict == "missed" for rows in claims.values() for row in rows)
    assert sorted(file.name for file in (tmp_path / "calibration").iterdir()) == ["coverage.svg", "inflation.svg"]
    assert all(f"calibration/{file.name}" in page for file in (tmp_path / "calibration").iterdir())
    assert page == document(claims, figures(claims))
    assert [row.svg for row in figures(claims)[section]] == [row.svg for row in figures(claims)[section]]


def test_lines_are_aligned_and_carry_the_error():
    rows = [Claim("short", "x", 0.05, 0.003, 4000, most=0.05), Claim("a longer name", "y", 0.95, 0.01, 100)]
    first, second = lines(rows).splitlines()
    assert first.index("short") == second.index("a longer")
    assert "MC SE 0.30" in first


def test_an_unknown_name_is_answered_with_the_known_ones(capsys):
    assert main(["nonsense"]) == 2
    assert "margin 0.5" in capsys.readouterr().err
