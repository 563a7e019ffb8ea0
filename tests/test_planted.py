"""The project finds what was planted: gaps measured the way every model is measured, on the drawn world's FACET-like set.

Expected values come from the training worlds (`PLANTED`), which say which class and mark appeared together; nothing of the result is
written down. One model of a balanced world can show a gap by chance, so a world speaks through the mean over its sizes.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from qbias.benchmarks import BENCHMARKS, load
from qbias.embed import embed_images, embed_texts
from qbias.environment import one_thread_per_batch
from qbias.measure import class_table
from qbias.outcomes import outcomes_of
from qbias.pixels import pixels
from qbias.protocol import Protocol
from qbias.quantizers import QUANTIZERS
from qbias.toyworld.catalogue import PLANTED, TOY_MODELS

TWINS_AND_PAIRS = sorted({(row.facet_class, row.pair) for row in PLANTED})


@pytest.fixture(scope="module")
def tables(world, tmp_path_factory):
    """Per model, the measured gaps by class and pair at k = 1."""
    folder = tmp_path_factory.mktemp("planted")
    protocol = Protocol()
    one_thread_per_batch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBIAS_CACHE", str(folder / "cache"))
        dataset = load(BENCHMARKS["facet"], world, protocol)

        @cache
        def cropped(resolution):
            return pixels(dataset, resolution)

        found = {}
        for model in TOY_MODELS:
            QUANTIZERS["fp32"].save(model.folder, folder / model.name)
            encoder = QUANTIZERS["fp32"].load(folder / model.name)
            pixel_NRR3 = cropped(encoder.preprocessing.resolution)
            image_ND = embed_images(encoder, pixel_NRR3, list(dataset.images["id"]), batch_size=64, advance=lambda n: None)
            text_MD = embed_texts(encoder, list(dataset.texts["text"]), batch_size=64, advance=lambda n: None)
            table = class_table(outcomes_of(dataset, image_ND, text_MD, protocol))
            found[model.name] = table[table["k"] == 1].set_index(["class_name", "pair"])
        yield found


def mean_gap(world, facet_class, pair, tables: dict[str, pd.DataFrame]) -> float:
    rows = [tables[model.name].loc[(facet_class, pair)] for model in TOY_MODELS if model.world == world]
    assert all(row["n_first"] >= 25 and row["n_second"] >= 25 for row in rows)
    return float(np.mean([row["gap"] for row in rows]))


@pytest.mark.parametrize("row", PLANTED, ids=lambda row: f"{row.world}-{row.facet_class}-{row.pair}")
def test_the_measured_gap_has_the_planted_sign_and_is_smaller_in_the_balanced_world(row, tables):
    tilted, balanced = (mean_gap(name, row.facet_class, row.pair, tables) for name in (row.world, "balanced"))
    assert row.sign * tilted > 0.03
    assert abs(balanced) < abs(tilted)


def test_where_nothing_was_planted_gaps_stay_small(tables):
    rows = pd.concat(tables)
    # About 40 persons a group: chance alone gives gaps near .06.
    plain = rows[~rows.index.droplevel(0).isin(TWINS_AND_PAIRS) & rows["eligible"]]
    twins = rows[rows.index.droplevel(0).isin(TWINS_AND_PAIRS)]
    tilted = twins[~twins.index.get_level_values(0).str.contains("balanced")]
    assert plain["gap"].abs().median() < 0.25 * tilted["gap"].abs().median()
