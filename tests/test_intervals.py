"""Intervals: do they know what is independent, and what is missing.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
import pytest
from summary import mean_intervals
from scipy import stats
from simulated_scores import corpus, rows_of, skewed


def test_interval_is_scipys_with_the_level_of_students_t():
    values = np.random.default_rng(0).gamma(2, size=40)
    found = mean_intervals(rows_of(values), ["x"]).loc["x"]
    quantile = stats.t.ppf(0.975, 39) * np.sqrt(40 / 39)
    expected = stats.bootstrap(
        [values],
        np.mean,
        confidence_level=1 - 2 * stats.norm.sf(quantile),
        method="BCa",
        n_resamples=20000,
        rng=1,
    ).confidence_interval
    close = 0.12 * stats.sem(values)
    assert found["ci_low"] == pytest.approx(expected.low, abs=close)
    assert found["ci_high"] == pytest.approx(expected.high, abs=close)


@pytest.mark.parametrize("kind", ["macro", "micro"])
def test_resampled_means_are_those_of_a_plain_loop(kind):
    """Resampled rows put together and averaged, with gaps in them."""
    generator = np.random.default_rng(0)
    rows = corpus(generator, {"indoor": 30, "outdoor": 12}, skewed)
    rows.loc[generator.random(len(rows)) < 0.2, "x"] = np.nan
    means = []
    by_mixture = {
        setting: [part for _, part in of_setting.groupby("ID")]
        for setting, of_setting in rows.groupby("setting")
    }
    for _ in range(1500):
        drawn = []
        for parts in by_mixture.values():
            drawn += [
                parts[number]
                for number in generator.integers(len(parts), size=len(parts))
            ]
        drawn = pd.concat(drawn)
        if kind == "macro":
            means.append(drawn.groupby("variant")["x"].mean().mean())
        else:
            means.append(drawn["x"].mean())
    strata = rows["variant"] if kind == "macro" else None
    for level in (0.5, 0.8):
        found = mean_intervals(rows, ["x"], strata, level).loc["x"]
        expected = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        # Wider by a few per cent, for the variance that resampling misses.
        assert found["ci_high"] - found["ci_low"] == pytest.approx(
            np.diff(expected)[0], rel=0.12
        )
        assert found[["ci_low", "ci_high"]].mean() == pytest.approx(
            expected.mean(), abs=0.2 * np.std(means)
        )


def test_interval_of_few_mixtures_is_students():
    values = np.random.default_rng(0).standard_normal(8)
    found = mean_intervals(rows_of(values), ["x"]).loc["x"]
    low, high = stats.t.interval(0.95, 7, values.mean(), stats.sem(values))
    assert found.tolist() == pytest.approx([values.mean(), low, high])


def test_two_settings_of_few_mixtures_have_welchs_interval():
    """The difference of the settings is no variance of their mean."""
    generator = np.random.default_rng(0)
    indoor, outdoor = generator.normal(10, 1, 4), generator.normal(0, 3, 4)
    rows = pd.concat([rows_of(indoor), rows_of(outdoor, "outdoor", "S")])
    for strata in (rows["variant"], None):
        found = mean_intervals(rows, ["x"], strata).loc["x"]
        # A mean of two settings is half a difference, one sign turned.
        expected = stats.ttest_ind(indoor, -outdoor, equal_var=False)
        low, high = expected.confidence_interval()
        assert found["ci_low"] == pytest.approx(low / 2)
        assert found["ci_high"] == pytest.approx(high / 2)


def test_settings_that_differ_without_spread_have_no_width():
    rows = [rows_of([1.0] * 4), rows_of([9.0] * 4, "outdoor", "S")]
    found = mean_intervals(pd.concat(rows), ["x"]).loc["x"]
    assert found.tolist() == [5, 5, 5]


def test_order_of_the_rows_changes_nothing():
    generator = np.random.default_rng(0)
    rows = corpus(generator, {"indoor": 20, "outdoor": 15}, skewed)
    other = rows.sample(frac=1, random_state=1)
    for column in ("variant", None):
        found = [
            mean_intervals(
                table, ["x"], None if column is None else table[column]
            )
            for table in (rows, other)
        ]
        np.testing.assert_allclose(*found, rtol=1e-12)


def test_saying_everything_twice_does_not_narrow_the_interval():
    rows = rows_of(np.random.default_rng(0).standard_normal(20))
    twice = pd.concat([rows, rows])  # with its index twice, too
    np.testing.assert_allclose(
        mean_intervals(twice, ["x"], twice["variant"]),
        mean_intervals(rows, ["x"]),
        rtol=1e-12,
    )


def test_failed_mixtures_are_as_if_not_tested():
    values = np.random.default_rng(0).standard_normal(9)
    gaps = np.append(values, [np.nan] * 6)
    pd.testing.assert_frame_equal(
        mean_intervals(rows_of(gaps), ["x"]),
        mean_intervals(rows_of(values), ["x"]),
    )
    # Also where another score of them is known.
    both = rows_of(gaps).assign(y=1.0)
    found = mean_intervals(both, ["x", "y"]).loc["x"]
    expected = mean_intervals(rows_of(values), ["x"]).loc["x"]
    assert found.tolist() == pytest.approx(expected.tolist())


def test_setting_of_which_all_failed_does_not_hide_the_interval():
    indoor = rows_of([1.0, 2.0, 3.0])
    failed = rows_of([np.nan], "outdoor", "S")
    found = mean_intervals(pd.concat([indoor, failed]), ["x"])
    pd.testing.assert_frame_equal(found, mean_intervals(indoor, ["x"]))


def test_variant_that_mostly_failed_keeps_its_place_in_the_macro_mean():
    """Resamples without the variant would be means of the others."""
    generator = np.random.default_rng(0)
    common = rows_of(generator.normal(0, 1, 40))
    rare = rows_of(np.full(40, np.nan), variant="SR")
    rare.loc[:1, "x"] = [99.0, 101.0]
    rows = pd.concat([common, rare], ignore_index=True)
    found = mean_intervals(rows, ["x"], rows["variant"]).loc["x"]
    assert 45 < found["ci_low"] < found["mean"] < found["ci_high"] < 55
    rows.loc[rows["x"] == 101, "x"] = np.nan
    alone = mean_intervals(rows, ["x"], rows["variant"]).loc["x"]
    assert alone["mean"] == pytest.approx(49.5, abs=0.5)
    assert np.isnan(alone["ci_low"]) and np.isnan(alone["ci_high"])


@pytest.mark.parametrize(
    "parts",
    [
        [rows_of([3.0])],
        [rows_of([1.0, 2.0, 3.0]), rows_of([6.0], "outdoor", "S")],
    ],
)
def test_interval_with_a_single_mixture_is_unknown(parts):
    rows = pd.concat(parts)
    found = mean_intervals(rows, ["x"]).loc["x"]
    assert found["mean"] == 3
    assert np.isnan(found["ci_low"]) and np.isnan(found["ci_high"])


def test_nothing_has_no_mean():
    rows = rows_of([np.nan, np.nan])
    for table in (rows, rows[:0]):
        found = mean_intervals(table, ["x"], table["variant"])
        assert found.shape == (1, 3) and found.isna().all(axis=None)


def test_constant_scores_have_an_interval_without_width():
    found = mean_intervals(rows_of([2.5] * 30), ["x"]).loc["x"]
    assert found.tolist() == [2.5, 2.5, 2.5]


def test_whole_corpus_fits_in_memory_and_is_students():
    """12,800 mixtures: so many that all intervals agree."""
    values = np.random.default_rng(0).gamma(2, size=12_800)
    rows = rows_of(values).assign(setting=["indoor", "outdoor"] * 6400)
    found = mean_intervals(rows, ["x"]).loc["x"]
    half_width = 1.96 * stats.sem(values)
    assert found["mean"] == pytest.approx(values.mean())
    for end, sign in (("ci_low", -1), ("ci_high", 1)):
        expected = values.mean() + sign * half_width
        assert found[end] == pytest.approx(expected, abs=0.05 * half_width)
