"""Tables: means and counts with known answers, and how they are written.

Authors
 * The PolSESS recipe team 2026
"""

import re

import numpy as np
import pandas as pd
import pytest
from reporting.strata import stratify
from reporting.tables import cells, texts_of, to_csv, to_markdown
from summary import score_names, summarise


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


def test_enhancement_tested_on_c_alone_has_no_mean_but_tables(tmp_path):
    scores = scores_of([("a", "C", "indoor", "s1", 60.0, 60.0)])
    summary = summarise(scores, ["C"], "ES")
    strata = stratify(scores, ["setting"], "ES", str(tmp_path))
    texts = texts_of(summary, strata, latex=True)
    means = summary[summary["variant"].str.endswith(" mean")]
    assert list(means["variant"]) == ["macro mean", "micro mean"]
    assert list(means["n"]) == [0, 0] and means["si_sdr_mean"].isna().all()
    assert strata.empty
    assert texts["test_strata.csv"].startswith("stratum,value,n,mixtures,few,")
    assert "no mixture" in texts["test_strata.md"]


def test_variant_without_mixtures_is_reported_and_not_as_0():
    row = summary_of(SMALL, ["SER", "C", "E"]).loc["E", ""]
    assert row["n"] == 0 and row["mixtures"] == 0
    assert row.filter(regex="_(mean|median|std|ci_low|ci_high)$").isna().all()
    assert "| E |  | 0 (no mixtures) | - |" in to_markdown(
        cells(summarise(SMALL, ["SER", "C", "E"], "SB"), "mean")
    )


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
    text = cells(table.reset_index(), "mean")
    assert text.loc[0, "pesq"] == "- (2 failed)"


def test_metric_of_ones_own_is_summarised():
    """Even one whose name ends as the columns of the summary do."""
    scores = SMALL.assign(snr_mean=2.0, snr_mean_mix=1.0)
    assert score_names(scores)[-2:] == ["snr_mean", "snr_mean_mix"]
    summary = summarise(scores, ["SER"], "SB")
    assert score_names(summary) == score_names(scores)
    assert (summary["snr_mean_mean"].dropna() == 2).all()


def test_cells_tell_means_medians_and_failures():
    scores = scores_of(
        [
            ("a", "S", "outdoor", "s1", 1.0, -0.001),
            ("b", "S", "outdoor", "s1", np.nan, 0.0),
            ("c", "S", "outdoor", "s1", 3.0, 0.0),
        ],
        stoi=0.75,
    )
    table = summarise(scores, ["S"], "ES")
    mean, median = cells(table, "mean").loc[0], cells(table, "median").loc[0]
    assert mean["si sdr"] == "2.00 [-10.71, 14.71] (1 failed)"
    assert median["si sdr"] == "2.00 (1.41) (1 failed)"
    assert mean["si sdr mix"] == "0.00"  # not -0.00
    assert mean["stoi"] == "0.750 [0.750, 0.750]"
    assert mean["n"] == "3"


def test_markdown_survives_any_text():
    table = pd.DataFrame({"value": ["a|b", "a\nb", "c\\", "<b>*`", "żółć"]})
    lines = to_markdown(table).splitlines()
    assert lines[2:] == [
        r"| a\|b |",
        "| a b |",
        r"| c\\ |",
        r"| \<b>\*\` |",
        "| żółć |",
    ]


def test_summary_shows_how_to_read_it():
    summary = summarise(SMALL, ["SER", "C"], "SB")
    text = texts_of(summary)["test_summary.md"]
    assert text.count("| macro mean |") == 2
    assert "Mean [95 % confidence interval]; n counts rows." in text
    assert "Median (standard deviation)." in text


def test_tiny_p_is_not_written_as_0():
    table = pd.DataFrame({"p_value": [1.23456e-20, np.nan, 1]})
    assert to_csv(table) == 'p_value\n1.235e-20\n""\n1\n'


def test_latex_table_is_well_formed():
    scores = SMALL.assign(a_b=1.0, a_b_mix=1.0)
    summary = summarise(scores, ["SER", "C", "S"], "SB")
    # As it is and as it would be with a name that LaTeX does not take.
    odd = summarise(scores, ["SER"], "SB").replace("SER", "50 % & #1_$")
    for each in (summary, odd):
        table = texts_of(each, latex=True)["test_summary.tex"]
        assert " mix " not in table
        lines = table.strip().splitlines()
        columns = re.fullmatch(r"\\begin\{tabular\}\{(l+)\}", lines[0])[1]
        assert lines[-1] == r"\end{tabular}"
        assert lines[1] == r"\toprule" and lines[-2] == r"\bottomrule"
        for line in lines[2:-2]:
            if line != r"\midrule":
                assert line.endswith(r" \\")
                plain = re.sub(r"\\[&%$#_{}]", "", line[:-3])
                assert plain.count("&") == len(columns) - 1
                assert not re.search(r"[%$#_{}~^\\]", plain)
    assert r"50 \% \& \#1\_\$" in table
