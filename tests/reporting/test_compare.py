"""Comparison of runs: differences that are known.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
import pytest
from paired_scores import GAINS, ROWS, lines_of, scores_of
from reporting.compare import compare, readable
from scipy import stats


def test_known_differences_are_found_with_their_sign():
    found = compare({"A": scores_of(0), "B": scores_of(GAINS)})
    assert set(found["run"]) == {"B"}
    assert set(found["score"]) == {"si_sdr", "si_sdri", "pesq"}
    lines = lines_of(found)
    difference = lines["difference"]
    assert difference["SER", "indoor"] == 1
    assert difference["S", "outdoor"] == -1
    assert difference["indoor macro mean", "indoor"] == 2
    assert difference["macro mean", ""] == 1
    assert difference["micro mean", ""] == pytest.approx(44 / 28)
    # The same for all mixtures: known exactly.
    assert lines["ci_low"].tolist() == pytest.approx(difference.tolist())
    assert lines["mean_first"].tolist() == pytest.approx([5] * len(lines))
    assert lines.loc[("SER", "indoor"), "mean"] == pytest.approx(6)
    back = lines_of(compare({"B": scores_of(GAINS), "A": scores_of(0)}))
    assert back["difference"].tolist() == (-difference).tolist()


def test_paired_test_is_scipys_on_the_means_of_mixtures():
    gains = np.random.default_rng(1).normal(0.3, 1, len(ROWS))
    sources = ("s1", "s2")
    first, second = scores_of(0, sources), scores_of(gains, sources)
    lines = lines_of(compare({"A": first, "B": second}))
    of_ser = [g for g, row in zip(gains, ROWS) if row[1] == "SER"]
    line = lines.loc[("SER", "indoor")]
    assert (line["n"], line["mixtures"]) == (24, 12)
    assert line["p_value"] == pytest.approx(stats.wilcoxon(of_ser).pvalue)
    assert 0.001 < line["p_value"] < 0.999
    # Not on rows: these are twice as many as independent mixtures.
    assert line["p_value"] != pytest.approx(stats.wilcoxon(of_ser * 2).pvalue)
    indoor = pd.Series(gains).groupby([row[0] for row in ROWS]).mean()[:12]
    for mean in ("macro", "micro"):
        found = lines.loc[(f"indoor {mean} mean", "indoor"), "p_value"]
        assert found == pytest.approx(stats.wilcoxon(indoor).pvalue)


def test_interval_of_the_difference_is_paired():
    """Mixtures differ by 100 dB, the runs by 1 dB on each of them."""
    noise = np.random.default_rng(1).normal(0, 0.1, len(ROWS))
    spread = np.linspace(0, 100, len(ROWS))
    runs = {"A": scores_of(spread), "B": scores_of(spread + 1 + noise)}
    line = lines_of(compare(runs)).loc[("SER", "indoor")]
    assert 0.8 < line["ci_low"] < line["difference"] < line["ci_high"] < 1.2


def test_mean_over_both_settings_weighs_them_in_its_test_too():
    """Better indoors and as much worse outdoors is no difference of the mean.

    Ranks of mixtures of equal weight would call it one: most are indoors.
    """
    gains = [1.0 if row[2] == "indoor" else -2.0 for row in ROWS]
    gains = np.array(gains) + np.random.default_rng(0).normal(0, 0.1, len(ROWS))
    lines = lines_of(compare({"A": scores_of(0), "B": scores_of(gains)}))
    line = lines.loc[("macro mean", "")]
    assert line["ci_low"] < 0 < line["ci_high"]
    assert line["p_value"] > 0.2
    assert lines.loc[("indoor macro mean", "indoor"), "p_value"] < 0.01


def test_identical_runs_do_not_differ():
    lines = compare({"A": scores_of(GAINS), "B": scores_of(GAINS)})
    assert (lines[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (lines["p_value"].dropna() == 1).all()


def test_rows_that_failed_in_one_run_are_left_out_of_both():
    first, second = scores_of(0), scores_of(GAINS)
    first.loc[
        (first["variant"] == "S") & (first["ID"] == "outdoor00"), "si_sdri"
    ] = np.nan
    ser = second["variant"] == "SER"
    second.loc[ser & (second["ID"] == "indoor01"), "si_sdri"] = np.nan
    first.loc[ser & (first["ID"] == "indoor01"), "si_sdri"] = -1000
    found = compare({"A": first, "B": second})
    lines = lines_of(found)
    line = lines.loc[("SER", "indoor")]
    assert (line["n"], line["left_out"], line["mixtures"]) == (11, 1, 11)
    assert line["difference"] == 1 and line["mean_first"] == pytest.approx(5)
    assert lines.loc[("S", "outdoor"), "left_out"] == 1
    assert lines.loc[("micro mean", ""), "left_out"] == 2
    assert (lines_of(found, "pesq")["left_out"] == 0).all()
    assert "(1 left out)" in readable(found).loc[0, "si sdri"]


def test_score_that_failed_everywhere_hid_the_rows_of_the_others():
    first, second = scores_of(0), scores_of(GAINS)
    for table in (first, second):
        table["si_sdri"] = np.nan
    text = readable(compare({"A": first, "B": second})).iloc[0]
    assert text["n"] == "12" and text["si sdri"] == "- (12 left out)"
    assert "left out" not in text["pesq"]


def test_one_mixture_has_a_difference_and_nothing_more():
    first, second = (scores_of(g)[:1] for g in (0, GAINS))
    found = lines_of(compare({"A": first, "B": second}))
    assert found["difference"].tolist() == [found["difference"].iloc[0]] * len(
        found
    )
    assert found[["ci_low", "ci_high", "p_value"]].isna().all(axis=None)


def test_c_is_compared_but_no_part_of_the_means_of_enhancement():
    tables = []
    for gains in (0, GAINS):
        table = scores_of(gains)
        table["variant"] = table["variant"].replace("R", "C")
        tables.append(table)
    difference = lines_of(compare(dict(zip("AB", tables))))["difference"]
    assert difference["SER", "indoor"] == 1 and difference["C", "indoor"] == 3
    assert difference["indoor macro mean", "indoor"] == 1
    assert difference["indoor micro mean", "indoor"] == 1


def test_three_runs_are_each_compared_with_the_first():
    runs = {"A": scores_of(0), "B": scores_of(GAINS), "C": scores_of(2)}
    found = compare(runs)
    assert list(found["run"].unique()) == ["B", "C"]
    for name, expected in (("B", 1), ("C", 2)):
        lines = lines_of(found[found["run"] == name])
        assert lines.loc[("macro mean", ""), "difference"] == expected
    assert len(readable(found)) == len(found) / 3
