"""Bootstrap of mean skew: against resampling whole rows, and how often its intervals and bands hold the true change."""

import numpy as np
import pytest

from qbias.metrics import skews, top_images
from qbias.significance.joint import change_covariance
from qbias.significance.skew_resampling import best_first, group_counts, image_influence, resampled_skews

SHARE = np.array([0.5, 0.3, 0.2])


def world(seed, *, images=300, prompts=20, noise=0.3, shift=0.15):
    """Two models whose lists differ by noise and by a shift of one group; the code and both (N, P) score matrices."""
    rng = np.random.default_rng(seed)
    code = np.repeat([0, 1, 2], (images * SHARE).round().astype(int))
    image, text = rng.normal(size=(images, 8)), rng.normal(size=(8, prompts)) * 0.5
    text[0] += 1
    image[:, 0] += np.array([0.0, 0.3, -0.3])[code]
    other = image + noise * rng.normal(size=image.shape)
    other[:, 0] += shift * np.array([1, -1, 0])[code]
    return code, image @ text, other @ text + 0.1 * noise * rng.normal(size=(images, prompts))


def resampled(code, before, after, k, **options):
    return resampled_skews(best_first(before), best_first(after), code, SHARE, k=k, **options)


def test_lists_and_counts_are_the_metrics():
    code, before, _ = world(0)
    before = before.round(1)
    order = best_first(before)
    assert order[:, :70].tolist() == top_images(before, k=70).tolist()
    expected = skews(code.astype(str), before, k=70)
    assert group_counts(order, code, k=70, groups=3).tolist() == expected.count_PG.tolist()


def test_differences_are_those_of_the_metric():
    code, before, after = world(1)
    found = resampled(code, before, after, 70, draws=10)
    first, second = (skews(code.astype(str), score, k=70).skew_PG.mean(axis=0) for score in (before, after))
    np.testing.assert_allclose(found.baseline_G, first)
    np.testing.assert_allclose(found.candidate_G, second)
    np.testing.assert_allclose(found.difference_G, second - first)


def _rows_drawn_again(code, before, after, k, draws):
    """The slow way: rows and prompts drawn with replacement, sorted again, measured by the metric."""
    rng, changes = np.random.default_rng(8), []
    groups = [np.flatnonzero(code == group) for group in range(3)]
    for _ in range(draws):
        rows, prompts = np.concatenate([rng.choice(group, len(group)) for group in groups]), np.arange(before.shape[1])
        sides = [skews(code[rows].astype(str), score[np.ix_(rows, prompts)], k=k).skew_PG for score in (before, after)]
        changes.append((sides[1] - sides[0]).mean(axis=0))
    return np.array(changes)


def test_drawing_images_again_spreads_as_drawing_rows_does():
    # One prompt, so that only images are drawn. The approximation leaves out who the few images around the cut are.
    code, before, after = world(2, prompts=1, images=600, noise=0.6)
    slow = _rows_drawn_again(code, before, after, 200, 500).std(axis=0)
    found = resampled(code, before, after, 200, draws=500)
    np.testing.assert_allclose(found.error_G, slow, rtol=0.15)


def test_influences_give_the_spread_over_images():
    code, before, after = world(3, prompts=1, images=600)
    orders = best_first(before), best_first(after)
    error = resampled_skews(*orders, code, SHARE, k=200, draws=2000).error_G
    for group in range(3):
        (first, mean_before), (second, mean_after) = (image_influence(order, code, group, k=200) for order in orders)
        _, [[variance]] = change_covariance((second - first)[:, None], np.ones(600), code)
        assert variance**0.5 == pytest.approx(error[group], rel=0.1)
        assert mean_after - mean_before == pytest.approx(resampled_skews(*orders, code, SHARE, k=200, draws=2).difference_G[group])


def test_errors_are_made_of_images_and_prompts_less_what_both_hold():
    code, before, after = world(4, prompts=8, images=600)
    orders = best_first(before), best_first(after)
    error_G = resampled_skews(*orders, code, SHARE, k=200, draws=2000).error_G
    counts = [group_counts(order, code, k=200, groups=3) for order in orders]
    for group in range(3):
        rows = [[image_influence(order[[prompt]], code, group, k=200)[0] for order in orders] for prompt in range(8)]
        _, cov_PP = change_covariance(np.transpose([second - first for first, second in rows]), np.ones(600), code)
        images, interaction = cov_PP.mean(), (np.trace(cov_PP) - cov_PP.sum() / 8) / 7 / 8
        prompts = np.log(counts[1] / counts[0])[:, group].var(ddof=1) / 8
        whole = images + prompts - interaction
        assert error_G[group] ** 2 == pytest.approx(max(whole, images, prompts), rel=0.12)
        # With few prompts their part is too rough to be trusted where it makes the whole less than a part: the third group.
        assert (whole > 1.2 * max(images, prompts)) == (group < 2)


@pytest.fixture(scope="module")
def coverage():
    """How often intervals and bands held the change of the population that the images and prompts came from."""
    code, before, after = world(99, images=20_000, prompts=250)
    counts = [group_counts(best_first(score), code, k=6_000, groups=3) for score in (before, after)]
    true_G = np.diff([np.log(count_PG / 6_000).mean(axis=0) for count_PG in counts], axis=0)[0]
    held_RG, band_R = [], []
    for seed in range(250):
        found = resampled(*world([4, seed]), 90, draws=200, seed=seed)
        low_G, high_G = found.interval(0.95)
        held_RG.append((low_G <= true_G) & (true_G <= high_G))
        band_R.append((np.abs(found.difference_G - true_G) <= found.critical(0.95) * found.error_G).all())
    return np.mean(held_RG), np.mean(band_R)


def test_intervals_hold_the_true_change_in_93_to_97_of_100(coverage):
    assert 0.93 <= coverage[0] <= 0.975


def test_bands_hold_all_true_changes_in_at_least_94_of_100(coverage):
    assert coverage[1] >= 0.94 - 2 * (0.94 * 0.06 / 250) ** 0.5


def test_lists_that_are_equal_have_no_spread():
    code, before, _ = world(5)
    found = resampled(code, before, before * 2 + 1, 70, draws=20)
    assert found.difference_G.tolist() == found.error_G.tolist() == [0, 0, 0]
    assert found.critical(0.95) == 0.0
    assert [end.tolist() for end in found.interval(0.95)] == [[0, 0, 0]] * 2


@pytest.mark.parametrize("k", [1, 299])
@pytest.mark.parametrize("prompts", [1, 2])
def test_extreme_cuts_few_prompts_and_constant_scores_stay_finite(k, prompts):
    code, before, after = world(6, prompts=prompts)
    for sides in ((before, after), (np.zeros_like(before), after), (np.zeros_like(before), np.zeros_like(after))):
        found = resampled(code, *sides, k, draws=30)
        assert np.isfinite([*found.difference_G, *found.error_G, *found.deviation_GB.ravel(), found.critical(0.95)]).all()


def test_equal_seeds_draw_the_same_images_for_every_model():
    code, before, after = world(7)
    one, same = (resampled(code, before, after, 70, draws=50, seed=3) for _ in range(2))
    assert np.array_equal(one.deviation_GB, same.deviation_GB)
    # Another model with nearly the same lists moves along with the first.
    other = resampled(code, before, after + 1e-3, 70, draws=50, seed=3)
    assert np.corrcoef(one.deviation_GB[0], other.deviation_GB[0])[0, 1] > 0.99
    assert not np.array_equal(one.deviation_GB, resampled(code, before, after, 70, draws=50, seed=4).deviation_GB)
