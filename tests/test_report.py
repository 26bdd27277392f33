"""Tables: means, intervals and counts with known answers."""

import numpy as np
import pandas as pd
import pytest
from report import mean_interval, summarise, to_markdown, write_report
from scipy import stats


def scores_of(rows):
    """Rows (ID, variant, setting, source, si_sdr, si_sdr_mix)."""
    names = ["ID", "variant", "setting", "source", "si_sdr", "si_sdr_mix"]
    scores = pd.DataFrame(rows, columns=names)
    scores["si_sdri"] = scores["si_sdr"] - scores["si_sdr_mix"]
    return scores


def rows_of(values, setting="indoor"):
    """One row a mixture."""
    ids = [f"{setting}{number}" for number in range(len(values))]
    return pd.DataFrame({"ID": ids, "setting": setting, "x": values})


def test_interval_of_one_variant_is_students():
    values = np.random.default_rng(0).standard_normal(30)
    rows = rows_of(values)
    mean, half_width = mean_interval(rows, "x", pd.Series("a", rows.index))
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert mean == pytest.approx(values.mean())
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))


def test_rows_of_one_mixture_are_not_independent():
    """Saying everything twice must not narrow the interval."""
    values = np.random.default_rng(0).standard_normal(20)
    rows = rows_of(values)
    twice = pd.concat([rows, rows], ignore_index=True)
    assert mean_interval(
        twice, "x", pd.Series("a", twice.index)
    ) == pytest.approx(mean_interval(rows, "x", pd.Series("a", rows.index)))


@pytest.mark.parametrize("indoor, outdoor", [(40, 0), (4, 4), (30, 6)])
def test_macro_interval_covers_as_it_should(indoor, outdoor):
    """95 % intervals over simulated corpora with a known mean."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        parts = []
        for setting, count, variants in (
            ("indoor", indoor, {"SR": 1.0, "ER": 2.0}),
            ("outdoor", outdoor, {"S": 4.0, "E": 5.0}),
        ):
            if count:
                mixture = generator.standard_normal(count)
                for variant, offset in variants.items():
                    noise = generator.standard_normal(count)
                    rows = rows_of(offset + mixture + noise, setting)
                    parts.append(rows.assign(variant=variant))
        rows = pd.concat(parts, ignore_index=True)
        mean, half_width = mean_interval(rows, "x", rows["variant"])
        covered += abs(mean - (3.0 if outdoor else 1.5)) <= half_width
    # 950 +- 4 standard deviations of 7; few degrees of freedom, equally
    # shared or not, make it a little wider than needed or narrower
    assert 915 <= covered <= 980


def test_interval_of_one_mixture_is_unknown():
    rows = pd.concat([rows_of([1.0, 2.0]), rows_of([5.0], "outdoor")])
    mean, half_width = mean_interval(rows, "x", rows["setting"])
    assert mean == 3.25 and np.isnan(half_width)


def test_macro_and_micro_mean_and_c_by_setting():
    scores = scores_of(
        [
            ("a", "SER", "indoor", "s1", 1.0, 0.0),
            ("b", "SER", "indoor", "s1", 3.0, 0.0),
            ("a", "C", "indoor", "s1", 10.0, 0.0),
            ("c", "C", "outdoor", "s1", 30.0, 0.0),
        ]
    )
    table = summarise(scores, ["C", "SER", "S"], "SB").set_index(
        ["variant", "setting"]
    )
    assert table.loc[("SER", "indoor"), "si_sdr_mean"] == 2
    assert table.loc[("C", "indoor"), "si_sdr_mean"] == 10
    assert table.loc[("C", "outdoor"), "si_sdr_mean"] == 30
    assert table.loc[("macro mean", ""), "si_sdr_mean"] == 14
    assert table.loc[("micro mean", ""), "si_sdr_mean"] == 11
    assert list(table["n"]) == [2, 0, 1, 1, 4, 4]
    assert table.loc[("macro mean", ""), "mixtures"] == 3
    # S was asked for and no mixture has it: reported, not 0
    assert np.isnan(table.loc[("S", ""), "si_sdr_mean"])


@pytest.mark.parametrize("task", ["ES", "EB"])
def test_c_is_no_part_of_the_mean_of_enhancement(task):
    scores = scores_of(
        [
            ("a", "SER", "indoor", "s1", 1.0, 0.0),
            ("a", "C", "indoor", "s1", 60.0, 60.0),
        ]
    )
    table = summarise(scores, ["SER", "C"], task).set_index("variant")
    assert table.loc["C", "si_sdr_mean"] == 60
    assert table.loc["macro mean", "si_sdr_mean"] == 1
    assert table.loc["micro mean", "n"] == 1


def test_failures_are_counted_and_not_averaged(tmp_path):
    scores = scores_of(
        [
            ("a", "S", "outdoor", "s1", 1.0, 0.0),
            ("b", "S", "outdoor", "s1", np.nan, 0.0),
            ("c", "S", "outdoor", "s1", 3.0, 0.0),
        ]
    )
    table = write_report(scores, ["S"], "ES", tmp_path).set_index("variant")
    assert table.loc["S", "n"] == 3
    assert table.loc["S", "si_sdr_failures"] == 1
    assert table.loc["S", "si_sdr_mean"] == 2
    assert table.loc["S", "si_sdr_mix_failures"] == 0
    lines = (tmp_path / "test_scores.csv").read_text().splitlines()
    assert lines[0] == "ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri"
    assert lines[2] == "b,S,outdoor,s1,,0.000000,"
    markdown = (tmp_path / "test_summary.md").read_text()
    assert markdown == to_markdown(table.reset_index())
    assert "2.00 ± 12.71 (1 failed)" in markdown
    written = pd.read_csv(tmp_path / "test_summary.csv")
    assert list(written["variant"]) == ["S", "macro mean", "micro mean"]
