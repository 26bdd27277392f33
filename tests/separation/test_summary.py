"""Summaries: means, counts and intervals with known answers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scores import SMALL, scores_of
from summary import (
    mean_interval,
    read_scores,
    score_names,
    summarise,
    validation_stats,
    write_csv,
    write_summary,
)

NAN = np.nan
VARIANTS = {"indoor": ["SER", "SR", "ER", "R"], "outdoor": ["SE", "S", "E"]}
TRUTH = {"indoor": 2.5, "outdoor": 8.0}  # mean of all variants of a corpus


def rows_of(values, setting="indoor", variant="SER"):
    """One row a mixture."""
    ids = [f"{setting}{number:06d}" for number in range(len(values))]
    return pd.DataFrame(
        {"ID": ids, "setting": setting, "variant": variant, "x": values}
    )


def normal(generator, count):
    return generator.standard_normal(count)


def skewed(generator, count):
    """Gamma, skewness 1.4."""
    return (generator.gamma(2, size=count) - 2) / np.sqrt(2)


def corpus(generator, counts, effects):
    """Scores whose rows share what their mixture, and variant, adds.

    Settings differ in size, in mean and in variance.
    """
    parts = []
    for setting, count in counts.items():
        spread, first = (1, 1) if setting == "indoor" else (3, 7)
        of_mixture = effects(generator, count)
        for number, variant in enumerate(VARIANTS[setting]):
            of_variant = of_mixture + 0.3 * generator.standard_normal(count)
            for source in ("s1", "s2"):
                noise = 0.5 * generator.standard_normal(count)
                values = first + number + spread * (of_variant + noise)
                rows = rows_of(values, setting, variant)
                parts.append(rows.assign(source=source))
    return pd.concat(parts)  # the index repeats itself


def weights_of(counts, kind):
    """The weight of each setting in a mean of a corpus."""
    weights = {setting: len(VARIANTS[setting]) for setting in counts}
    if kind == "micro":
        weights = {s: counts[s] * weight for s, weight in weights.items()}
    return {s: weight / sum(weights.values()) for s, weight in weights.items()}


def interval_of(rows, kind):
    strata = rows["variant"] if kind == "macro" else None
    return mean_interval(rows, "x", strata)


@pytest.mark.parametrize(
    "effects, kind, at_least",
    [
        (normal, "macro", 0.915),
        (skewed, "micro", 0.88),
        pytest.param(normal, "micro", 0.915, marks=pytest.mark.nightly),
        pytest.param(skewed, "macro", 0.88, marks=pytest.mark.nightly),
    ],
)
def test_intervals_cover_the_truth(effects, kind, at_least):
    """95 % of 400 corpora, less what skewness costs: 3 standard errors."""
    counts = {"indoor": 12, "outdoor": 20}
    generator = np.random.default_rng(1)
    truth = sum(w * TRUTH[s] for s, w in weights_of(counts, kind).items())
    hits = 0
    for _ in range(400):
        rows = corpus(generator, counts, effects)
        _, low, high = interval_of(rows, kind)
        hits += low <= truth <= high
    assert at_least < hits / 400 < 0.985


@pytest.mark.parametrize("kind", ["macro", "micro"])
@pytest.mark.parametrize("counts", [(8, 0), (3, 5), (20, 2)])
def test_interval_is_students_or_welchs_on_the_means_of_mixtures(counts, kind):
    """Variants and sources are no sample, nor is what the settings differ."""
    counts = {s: n for s, n in zip(VARIANTS, counts) if n}
    rows = corpus(np.random.default_rng(0), counts, normal)
    mean, freedom, variances = 0, 0, []
    for setting, weight in weights_of(counts, kind).items():
        mixtures = rows[rows["setting"] == setting].groupby("ID")["x"].mean()
        mean += weight * mixtures.mean()
        variances.append(weight**2 * mixtures.var() / counts[setting])
        freedom += variances[-1] ** 2 / (counts[setting] - 1)
    freedom = sum(variances) ** 2 / freedom
    half_width = stats.t.ppf(0.975, freedom) * np.sqrt(sum(variances))
    expected = mean, mean - half_width, mean + half_width
    assert interval_of(rows, kind) == pytest.approx(expected)


@pytest.mark.parametrize(
    "values, mean, half_width",
    [
        ({"SER": [3.0]}, 3, NAN),
        ({"SER": [1.0, 3.0], "S": [6.0]}, 4, NAN),
        ({"SER": [0.0, 4.0, 5.0], "SR": [99.0, NAN, NAN]}, 51, NAN),
        ({"SER": [NAN, NAN]}, NAN, NAN),
        ({"SER": []}, NAN, NAN),
        ({"SER": [2.5] * 30}, 2.5, 0),
        ({"SER": [1.0] * 4, "S": [9.0] * 4}, 5, 0),
        # What failed is as if it had not been tested, but for its variant.
        ({"SER": [NAN, 1.0, 3.0, NAN], "S": [NAN]}, 2, 12.7062),
        # Shares of the three mixtures: 0, -1/4 and 1/4.
        ({"SER": [9.0] * 3, "SR": [NAN, 1.0, 3.0]}, 5.5, 4.302653 * 3**0.5 / 4),
    ],
)
@pytest.mark.filterwarnings("error")
def test_macro_mean_of_few_and_of_failures(values, mean, half_width):
    rows = [
        rows_of(x, "outdoor" if variant == "S" else "indoor", variant)
        for variant, x in values.items()
    ]
    found = interval_of(pd.concat(rows).astype({"x": float}), "macro")
    expected = mean, mean - half_width, mean + half_width
    assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)


@pytest.mark.filterwarnings("error")
def test_setting_of_one_mixture_has_no_interval():
    rows = pd.concat([rows_of([1.0, 2.0, 3.0]), rows_of([6.0], "outdoor")])
    np.testing.assert_equal(interval_of(rows, "micro"), (3, NAN, NAN))


def summary_of(scores, variants, task="SB"):
    table = summarise(scores, variants, task)
    return table.set_index(["variant", "setting"])


def test_macro_is_over_variants_and_micro_over_rows():
    table = summary_of(SMALL, ["C", "SER", "S"])
    assert list(zip(table.index, table["n"], table["mixtures"])) == [
        (("SER", "indoor"), 2, 2),
        (("S", ""), 0, 0),  # which no mixture has
        (("C", "indoor"), 1, 1),
        (("C", "outdoor"), 1, 1),
        (("indoor macro mean", "indoor"), 3, 2),
        (("indoor micro mean", "indoor"), 3, 2),
        (("outdoor macro mean", "outdoor"), 1, 1),
        (("outdoor micro mean", "outdoor"), 1, 1),
        (("macro mean", ""), 4, 3),
        (("micro mean", ""), 4, 3),
    ]
    # C is a variant of its own in each setting.
    expected = [2, NAN, 10, 30, 6, 14 / 3, 30, 30, 14, 11]
    np.testing.assert_allclose(table["si_sdr_mean"], expected)
    medians = [2, NAN, 10, 30, 6, 3, 30, 30, 14, 6.5]
    np.testing.assert_allclose(table["si_sdr_median"], medians)
    assert table.loc[("S", "")].filter(regex="_(mean|std|ci_)").isna().all()


def test_every_column_has_the_value_of_its_definition():
    values = [1.0, 2.0, 6.0, NAN]
    scores = scores_of(
        [("abcd"[n], "S", "outdoor", "s1", values[n], -1.0) for n in range(4)]
    )
    row = summary_of(scores, ["S"], "ES").loc["S", "outdoor"]
    assert row["n"] == 4 and row["mixtures"] == 4
    half_width = 4.302653 * np.sqrt(7 / 3)  # t with two degrees of freedom
    expected = [0, 1, 3, 2, np.sqrt(7), 3 - half_width, 3 + half_width]
    expected += [0, -1, -1, 0, -1, -1]
    expected += [1, 4, 3, np.sqrt(7), 4 - half_width, 4 + half_width]
    parts = "failures mean median std ci_low ci_high".split()
    names = [f"{s}_{p}" for s in scores.columns[4:] for p in parts]
    names.insert(0, "silent")
    assert list(row.index[2:]) == names
    assert row[2:].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("task", ["ES", "EB"])
def test_c_is_no_part_of_any_mean_of_enhancement(task):
    table = summary_of(SMALL, ["SER", "C"], task)
    assert table["si_sdr_mean"].to_dict() == {
        ("SER", "indoor"): 2,
        ("C", "indoor"): 10,
        ("C", "outdoor"): 30,
        ("indoor macro mean", "indoor"): 2,
        ("indoor micro mean", "indoor"): 2,
        ("macro mean", ""): 2,
        ("micro mean", ""): 2,
    }


def test_nothing_tested_is_a_table_of_nothing():
    table = summary_of(SMALL[:0], ["SER"])
    assert (table["n"] == 0).all() and len(table) == 3


def test_metric_of_ones_own_and_one_that_failed_are_summarised():
    """Even one whose name ends as the columns of the summary do."""
    scores = SMALL.assign(snr_mean=2.0, snr_mean_mix=1.0, pesq=NAN)
    names = ["snr_mean", "snr_mean_mix", "pesq"]
    assert score_names(scores)[-3:] == names
    summary = summarise(scores, ["SER"], "SB")
    assert score_names(summary) == score_names(scores)
    assert (summary["snr_mean_mean"] == 2).all()
    assert (summary["pesq_failures"] == summary["n"]).all()
    assert summary["pesq_mean"].isna().all()


def test_order_of_the_rows_changes_no_digit():
    rows = corpus(np.random.default_rng(0), {"indoor": 9, "outdoor": 7}, normal)
    variants = sum(VARIANTS.values(), [])
    other = rows.sample(frac=1, random_state=1)
    first = summarise(rows, variants, "SB")
    assert summarise(other, variants, "SB").equals(first)


@pytest.mark.parametrize(
    "ids", [["NA", "007", "NA", "c"], ["007", "8", "007", "9"]]
)
def test_summary_is_made_from_the_file_alone(tmp_path, ids):
    scores = SMALL.assign(ID=ids, pesq=[1.0, NAN, 2, 3])
    write_csv(scores, tmp_path / "test_scores.csv")
    assert read_scores(tmp_path / "test_scores.csv").equals(scores)
    write_summary(tmp_path, ["C", "SER"], "SB")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["test_scores.csv", "test_summary.csv"]
    expected = summarise(scores, ["C", "SER"], "SB").round(6)
    found = pd.read_csv(tmp_path / "test_summary.csv").fillna({"setting": ""})
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_table_that_is_not_written_whole_leaves_the_old_one(tmp_path):
    def half(path, **options):
        with open(path, "w") as file:
            file.write("half")
        raise OSError("disk full")

    path = tmp_path / "table.csv"
    write_csv(SMALL, path)
    before = path.read_text()
    with pytest.raises(OSError, match="disk full"):
        write_csv(SimpleNamespace(to_csv=half), path)
    assert path.read_text() == before
    assert before.splitlines()[1] == (
        "a,SER,indoor,s1,1.000000,0.000000,1.000000"
    )


def valid_rows(values, variant="S", setting="outdoor", silent=False):
    """A row a mixture, as a validation collects them."""
    rows = rows_of(values, setting, variant).rename(columns={"x": "si_sdri"})
    return rows.assign(silent=silent, is_floor=False).to_dict("records")


def variants_in(found):
    return {key: found[key] for key in found if key.startswith("SI-SDRi ")}


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
    found = validation_stats(valid_rows([failure] * 3))
    assert np.isnan(found["SI-SDRi"]) and found["failures"] == 3
    assert variants_in(found) == {}


def test_silent_estimates_are_in_the_mean_and_counted():
    rows = valid_rows([1.0, 3.0, -103.0])
    rows[2]["is_floor"] = True
    found = validation_stats(rows)
    assert found["SI-SDRi"] == -33 and found["silent"] == 1
    assert found["failures"] == 0


def test_muting_what_is_hard_never_looks_better():
    """Whatever the muted rows would have reached, down to the floor."""
    hard = scores_of(
        [(n, "S", "outdoor", "s1", x, -2.0) for n, x in zip("abc", [9, 5, -99])]
    )
    muted = hard.assign(si_sdr=[9.0, 5.0, -100.0])
    muted["si_sdri"] = muted["si_sdr"] - muted["si_sdr_mix"]
    kept, found = (summary_of(s, ["S"], "ES") for s in (hard, muted))
    assert kept["silent"].eq(0).all() and found["silent"].eq(1).all()
    for name in ("si_sdr_mean", "si_sdri_mean", "si_sdri_ci_low"):
        assert (found[name] < kept[name]).all()
    assert found.loc[("S", "outdoor"), "si_sdr_mean"] == pytest.approx(-86 / 3)


def test_silent_reference_is_counted_and_left_out():
    rows = valid_rows([1.0, 3.0]) + valid_rows([np.nan], silent=True)
    found = validation_stats(rows)
    assert found["SI-SDRi"] == 2 and found["failures"] == 1
