"""Do 95 % intervals hold the true mean in 95 % of simulated corpora?

Authors
 * The PolSESS recipe team 2026
"""

import intervals
import numpy as np
import pytest
from intervals import mean_intervals
from simulated_scores import corpus, normal, skewed, truth_of
from tables import variant_strata

SIMULATIONS = 500


def coverage(counts, effects, kind, change=lambda rows: rows):
    """Share of simulated corpora whose interval holds the true mean."""
    generator = np.random.default_rng(3)
    truth, covered = truth_of(counts, kind), 0
    for _ in range(SIMULATIONS):
        rows = change(corpus(generator, counts, effects))
        strata = variant_strata(rows) if kind == "macro" else None
        found = mean_intervals(rows, ["x"], strata).loc["x"]
        covered += found["ci_low"] <= truth <= found["ci_high"]
    return covered / SIMULATIONS


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 599)


@pytest.mark.parametrize("effects", [normal, skewed])
@pytest.mark.parametrize(
    "counts, kind",
    [
        ({"indoor": 30}, "macro"),
        ({"outdoor": 100}, "micro"),
        ({"indoor": 70, "outdoor": 30}, "macro"),
        ({"indoor": 30, "outdoor": 60}, "micro"),
    ],
)
def test_95_percent_intervals_cover_in_95_percent(
    few_resamples, counts, kind, effects
):
    assert 0.92 <= coverage(counts, effects, kind) <= 0.98


@pytest.mark.parametrize("kind", ["macro", "micro"])
def test_intervals_of_very_few_mixtures_cover_too(few_resamples, kind):
    assert 0.92 <= coverage({"indoor": 4, "outdoor": 4}, normal, kind) <= 0.99


def test_resampling_rows_would_cover_far_too_seldom(few_resamples):
    """The control: what is wrong with taking rows for independent."""

    def rows_as_mixtures(rows):
        return rows.assign(ID=[str(number) for number in rows.index])

    assert coverage({"indoor": 40}, normal, "micro", rows_as_mixtures) < 0.8
