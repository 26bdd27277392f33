"""Summaries: means, counts and intervals with known answers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated_scores import corpus, normal, rows_of, skewed, truth_of
from summary import (
    mean_interval,
    read_scores,
    score_names,
    summarise,
    validation_stats,
    write_csv,
    write_summary,
)


@pytest.mark.parametrize("kind", ["macro", "micro"])
@pytest.mark.parametrize("effects", [normal, skewed])
def test_intervals_cover_the_truth(kind, effects):
    """95 % of 400 corpora, less what skewness costs: 3 standard errors."""
    counts = {"indoor": 12, "outdoor": 20}
    generator = np.random.default_rng(1)
    truth, hits = truth_of(counts, kind), 0
    for _ in range(400):
        rows = corpus(generator, counts, effects)
        strata = rows["variant"] if kind == "macro" else None
        _, low, high = mean_interval(rows, "x", strata)
        hits += low <= truth <= high
    assert hits / 400 > (0.915 if effects is normal else 0.88)
    assert hits / 400 < 0.985


def test_interval_of_few_mixtures_is_students():
    values = np.random.default_rng(0).standard_normal(8)
    found = mean_interval(rows_of(values), "x")
    low, high = stats.t.interval(0.95, 7, values.mean(), stats.sem(values))
    assert found == pytest.approx((values.mean(), low, high))


def test_two_settings_of_few_mixtures_have_welchs_interval():
    """The difference of the settings is no variance of their mean."""
    generator = np.random.default_rng(0)
    indoor, outdoor = generator.normal(10, 1, 4), generator.normal(0, 3, 4)
    rows = pd.concat([rows_of(indoor), rows_of(outdoor, "outdoor", "S")])
    for strata in (rows["variant"], None):
        _, found_low, found_high = mean_interval(rows, "x", strata)
        # A mean of two settings is half a difference, one sign turned.
        expected = stats.ttest_ind(indoor, -outdoor, equal_var=False)
        low, high = expected.confidence_interval()
        assert found_low == pytest.approx(low / 2)
        assert found_high == pytest.approx(high / 2)


def test_settings_that_differ_without_spread_have_no_width():
    rows = [rows_of([1.0] * 4), rows_of([9.0] * 4, "outdoor", "S")]
    assert mean_interval(pd.concat(rows), "x") == (5, 5, 5)


def test_order_of_the_rows_changes_nothing():
    generator = np.random.default_rng(0)
    rows = corpus(generator, {"indoor": 20, "outdoor": 15}, skewed)
    other = rows.sample(frac=1, random_state=1)
    for column in ("variant", None):
        found = [
            mean_interval(table, "x", None if column is None else table[column])
            for table in (rows, other)
        ]
        np.testing.assert_allclose(*found, rtol=1e-12)


def test_saying_everything_twice_does_not_narrow_the_interval():
    rows = rows_of(np.random.default_rng(0).standard_normal(20))
    twice = pd.concat([rows, rows])  # with its index twice, too
    np.testing.assert_allclose(
        mean_interval(twice, "x", twice["variant"]),
        mean_interval(rows, "x"),
        rtol=1e-12,
    )


def test_failed_mixtures_are_as_if_not_tested():
    values = np.random.default_rng(0).standard_normal(9)
    gaps = np.append(values, [np.nan] * 6)
    expected = mean_interval(rows_of(values), "x")
    assert mean_interval(rows_of(gaps), "x") == pytest.approx(expected)


def test_setting_of_which_all_failed_does_not_hide_the_interval():
    indoor = rows_of([1.0, 2.0, 3.0])
    failed = rows_of([np.nan], "outdoor", "S")
    found = mean_interval(pd.concat([indoor, failed]), "x")
    assert found == mean_interval(indoor, "x")


def test_variant_that_mostly_failed_keeps_its_place_in_the_macro_mean():
    generator = np.random.default_rng(0)
    common = rows_of(generator.normal(0, 1, 40))
    rare = rows_of(np.full(40, np.nan), variant="SR")
    rare.loc[:1, "x"] = [99.0, 101.0]
    rows = pd.concat([common, rare], ignore_index=True)
    mean, low, high = mean_interval(rows, "x", rows["variant"])
    assert mean == pytest.approx(50, abs=0.5) and low < mean < high
    rows.loc[rows["x"] == 101, "x"] = np.nan
    mean, low, high = mean_interval(rows, "x", rows["variant"])
    assert mean == pytest.approx(49.5, abs=0.5)
    assert np.isnan(low) and np.isnan(high)


@pytest.mark.parametrize(
    "parts",
    [
        [rows_of([3.0])],
        [rows_of([1.0, 2.0, 3.0]), rows_of([6.0], "outdoor", "S")],
    ],
)
def test_interval_with_a_single_mixture_is_unknown(parts):
    rows = pd.concat(parts)
    mean, low, high = mean_interval(rows, "x")
    assert mean == 3 and np.isnan(low) and np.isnan(high)


def test_nothing_has_no_mean():
    rows = rows_of([np.nan, np.nan])
    for table in (rows, rows[:0]):
        assert np.isnan(mean_interval(table, "x", table["variant"])).all()


def test_constant_scores_have_an_interval_without_width():
    assert mean_interval(rows_of([2.5] * 30), "x") == (2.5, 2.5, 2.5)


def scores_of(rows, **more):
    """Rows (ID, variant, setting, source, si_sdr, si_sdr_mix)."""
    names = ["ID", "variant", "setting", "source", "si_sdr", "si_sdr_mix"]
    scores = pd.DataFrame(rows, columns=names)
    scores["si_sdri"] = scores["si_sdr"] - scores["si_sdr_mix"]
    return scores.assign(**more)


def summary_of(scores, variants, task="SB"):
    table = summarise(scores, variants, task)
    return table.set_index(["variant", "setting"])


SMALL = scores_of(
    [
        ("a", "SER", "indoor", "s1", 1.0, 0.0),
        ("b", "SER", "indoor", "s1", 3.0, 0.0),
        ("a", "C", "indoor", "s1", 10.0, 0.0),
        ("c", "C", "outdoor", "s1", 30.0, 0.0),
    ]
)


def test_macro_is_over_variants_and_micro_over_rows():
    table = summary_of(SMALL, ["C", "SER", "S"])
    assert table["n"].to_dict() == {
        ("SER", "indoor"): 2,
        ("S", ""): 0,
        ("C", "indoor"): 1,
        ("C", "outdoor"): 1,
        ("indoor macro mean", "indoor"): 3,
        ("indoor micro mean", "indoor"): 3,
        ("outdoor macro mean", "outdoor"): 1,
        ("outdoor micro mean", "outdoor"): 1,
        ("macro mean", ""): 4,
        ("micro mean", ""): 4,
    }
    means = table["si_sdr_mean"]
    assert means["SER", "indoor"] == 2
    # C is a variant of its own in each setting.
    assert means["C", "indoor"] == 10 and means["C", "outdoor"] == 30
    assert means["indoor macro mean", "indoor"] == 6
    assert means["indoor micro mean", "indoor"] == pytest.approx(14 / 3)
    assert means["macro mean", ""] == 14 and means["micro mean", ""] == 11
    assert table.loc[("macro mean", ""), "mixtures"] == 3


def test_every_column_has_the_value_of_its_definition():
    values = [1.0, 2.0, 6.0, np.nan]
    scores = scores_of(
        [("abcd"[n], "S", "outdoor", "s1", values[n], -1.0) for n in range(4)]
    )
    row = summary_of(scores, ["S"], "ES").loc["S", "outdoor"]
    assert row["n"] == 4 and row["mixtures"] == 4
    assert row["si_sdr_failures"] == 1 and row["si_sdr_mix_failures"] == 0
    assert row["si_sdr_mean"] == 3 and row["si_sdr_median"] == 2
    assert row["si_sdr_std"] == pytest.approx(np.sqrt(7))
    half_width = 4.302653 * np.sqrt(7 / 3)  # t with two degrees of freedom
    assert row["si_sdr_ci_low"] == pytest.approx(3 - half_width)
    assert row["si_sdri_ci_high"] == pytest.approx(4 + half_width)
    assert row["si_sdr_mix_std"] == 0 and row["si_sdr_mix_ci_high"] == -1


def test_sources_are_rows_and_not_mixtures():
    scores = scores_of(
        [
            (name, "S", "outdoor", source, value, 0.0)
            for name, values in (("a", (0, 4)), ("b", (2, 6)))
            for source, value in zip(("s1", "s2"), values)
        ]
    )
    row = summary_of(scores, ["S"]).loc["S", "outdoor"]
    assert row["n"] == 4 and row["mixtures"] == 2
    # Two mixtures, of 2 and 4 dB
    assert row["si_sdr_ci_high"] == pytest.approx(3 + 12.7062)


@pytest.mark.parametrize("task", ["ES", "EB"])
def test_c_is_no_part_of_any_mean_of_enhancement(task):
    scores = scores_of(
        [
            ("a", "SER", "indoor", "s1", 1.0, 0.0),
            ("a", "C", "indoor", "s1", 60.0, 60.0),
            ("b", "C", "outdoor", "s1", 60.0, 60.0),
        ]
    )
    table = summary_of(scores, ["SER", "C"], task)
    assert table.loc[("C", "indoor"), "si_sdr_mean"] == 60
    for name, setting in table.index:
        if name.endswith(" mean"):
            assert setting in ("indoor", "")
            assert table.loc[(name, setting), "si_sdr_mean"] == 1
            assert table.loc[(name, setting), "n"] == 1


def test_variant_without_mixtures_is_reported_and_not_as_0():
    row = summary_of(SMALL, ["SER", "C", "E"]).loc["E", ""]
    assert row["n"] == 0 and row["mixtures"] == 0
    assert row.filter(regex="_(mean|median|std|ci_low|ci_high)$").isna().all()


def test_nothing_tested_is_a_table_of_nothing():
    table = summary_of(SMALL[:0], ["SER"])
    assert (table["n"] == 0).all() and len(table) == 3


def test_corpus_of_one_setting_has_no_rows_of_the_other():
    scores = SMALL[SMALL["setting"] == "indoor"]
    table = summary_of(scores, ["SER", "C"])
    assert not any("outdoor" in name + place for name, place in table.index)
    assert table.loc[("macro mean", ""), "si_sdr_mean"] == 6


def test_metric_that_always_failed_has_only_failures():
    scores = SMALL.assign(pesq=np.nan, pesq_mix=1.5)
    table = summary_of(scores, ["SER", "C"])
    assert (table["pesq_failures"] == table["n"]).all()
    assert table["pesq_mean"].isna().all()
    assert (table["pesq_mix_mean"] == 1.5).all()


def test_metric_of_ones_own_is_summarised():
    """Even one whose name ends as the columns of the summary do."""
    scores = SMALL.assign(snr_mean=2.0, snr_mean_mix=1.0)
    assert score_names(scores)[-2:] == ["snr_mean", "snr_mean_mix"]
    summary = summarise(scores, ["SER"], "SB")
    assert score_names(summary) == score_names(scores)
    assert (summary["snr_mean_mean"].dropna() == 2).all()


def variants_in(found):
    return {key: found[key] for key in found if key.startswith("SI-SDRi ")}


def valid_rows(values, variant="S", setting="outdoor", silent=False):
    return [
        {
            "ID": f"{setting}{number}",
            "variant": variant,
            "setting": setting,
            "si_sdri": value,
            "silent": silent,
        }
        for number, value in enumerate(values)
    ]


def test_variants_have_the_same_weight():
    rows = valid_rows([1.0, 3.0]) + valid_rows([4.0] * 6, "SER", "indoor")
    found = validation_stats(rows)
    assert found["SI-SDRi"] == 3
    # Two mixtures vary: Student's t with one degree of freedom.
    assert found["ci_high"] == pytest.approx(3 + 12.7062 / 2)
    assert found["ci_low"] == pytest.approx(3 - 12.7062 / 2)
    assert (found["n"], found["mixtures"], found["failures"]) == (8, 8, 0)
    assert variants_in(found) == {"SI-SDRi S": 2, "SI-SDRi SER": 4}
    assert {type(found[key]) for key in ("SI-SDRi", "ci_low")} == {float}


def test_c_indoors_and_outdoors_are_two_variants():
    rows = valid_rows([2.0, 2.0], "C") + valid_rows([5.0], "C", "indoor")
    found = validation_stats(rows)
    assert found["SI-SDRi"] == 3.5
    assert variants_in(found) == {"SI-SDRi C indoor": 5, "SI-SDRi C outdoor": 2}


@pytest.mark.parametrize("failure", [np.nan, np.inf, -np.inf])
def test_one_failure_makes_the_mean_none(failure):
    found = validation_stats(valid_rows([1.0, failure, 3.0]))
    assert np.isnan(found["SI-SDRi"]) and found["failures"] == 1
    assert variants_in(found) == {"SI-SDRi S": 2}


def test_a_silent_reference_is_counted_and_does_not_end_the_training():
    rows = valid_rows([1.0, 3.0]) + valid_rows([np.nan], silent=True)
    found = validation_stats(rows)
    assert found["SI-SDRi"] == 2 and found["failures"] == 1


@pytest.mark.parametrize("failure", [np.nan, np.inf])
def test_nothing_but_failures_is_no_number(failure):
    found = validation_stats(valid_rows([failure] * 3))
    assert np.isnan(found["SI-SDRi"]) and found["failures"] == 3
    assert variants_in(found) == {}


def test_summary_is_made_from_the_file_alone(tmp_path):
    scores = SMALL.assign(ID=["NA", "007", "NA", "c"], pesq=[1.0, np.nan, 2, 3])
    write_csv(scores, tmp_path / "test_scores.csv")
    assert read_scores(tmp_path / "test_scores.csv").equals(scores)
    write_summary(tmp_path, ["C", "SER"], "SB")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["test_scores.csv", "test_summary.csv"]
    write_csv(summarise(scores, ["C", "SER"], "SB"), tmp_path / "expected.csv")
    expected = (tmp_path / "expected.csv").read_text()
    assert (tmp_path / "test_summary.csv").read_text() == expected
