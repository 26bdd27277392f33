"""Tables as text: cells, Markdown, CSV, LaTeX.

Authors
 * The PolSESS recipe team 2026
"""

import re

import numpy as np
import pandas as pd
from reporting.report import main
from reporting.tables import cells, to_markdown
from summary import summarise, write_csv


def scores_of(rows, **more):
    """Rows (ID, variant, setting, source, si_sdr, si_sdr_mix)."""
    names = ["ID", "variant", "setting", "source", "si_sdr", "si_sdr_mix"]
    scores = pd.DataFrame(rows, columns=names)
    scores["si_sdri"] = scores["si_sdr"] - scores["si_sdr_mix"]
    return scores.assign(**more)


def texts_of(folder, scores, *options):
    """Makes the tables of report.py, name of a file -> text."""
    write_csv(scores, folder / "test_scores.csv")
    assert main(["tables", str(folder), *options]) == 0
    return {path.name: path.read_text("utf-8") for path in folder.iterdir()}


SMALL = scores_of(
    [
        ("a", "SER", "indoor", "s1", 1.0, 0.0),
        ("b", "SER", "indoor", "s1", 3.0, 0.0),
        ("a", "C", "indoor", "s1", 10.0, 0.0),
        ("c", "C", "outdoor", "s1", 30.0, 0.0),
    ]
)


def test_enhancement_tested_on_c_alone_has_no_mean_but_tables(tmp_path):
    scores = scores_of([("a", "C", "indoor", "s1", 60.0, 60.0)])
    texts = texts_of(tmp_path, scores, "--latex", "--strata", "setting")
    assert "| macro mean |  | 0 (no mixtures) | - |" in texts["test_summary.md"]
    assert texts["test_strata.csv"].startswith("stratum,value,n,mixtures,few,")
    assert "no mixture" in texts["test_strata.md"]


def test_metric_that_always_failed_has_only_failures():
    table = summarise(SMALL.assign(pesq=np.nan, pesq_mix=1.5), ["SER"], "SB")
    assert cells(table, "mean").loc[0, "pesq"] == "- (2 failed)"


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


def test_summary_shows_how_to_read_it(tmp_path):
    text = texts_of(tmp_path, SMALL)["test_summary.md"]
    assert text.count("| macro mean |") == 2
    assert "Mean [95 % confidence interval]; n counts rows." in text
    assert "Median (standard deviation)." in text


def test_latex_table_is_well_formed(tmp_path):
    scores = SMALL.assign(**{"a_b%&": 1.0, "a_b%&_mix": 1.0})
    table = texts_of(tmp_path, scores, "--latex")["test_summary.tex"]
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
    assert r"a b\%\&" in table
