"""report.py tables: cells, Markdown, CSV, LaTeX, and what is refused."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from recipe import SEPARATION
from reporting.report import main
from reporting.tables import cells, to_markdown, write_texts
from scores import SMALL, scores_of
from summary import summarise, write_csv, write_summary


@pytest.fixture
def run(tmp_path):
    """A function that makes the folder of a run with these scores of S."""

    def write(scores):
        (tmp_path / "run/save").mkdir(parents=True)
        write_csv(scores, tmp_path / "run/test_scores.csv")
        for name, column in (("S", "ssr_db"), ("metadata", "SSR")):
            table = pd.DataFrame({"ID": ["a", "b", "c"], column: [-5, 0, -5]})
            path = tmp_path / f"run/save/test_{name}.csv"
            table.to_csv(path, index=False)
        return tmp_path / "run"

    return write


OF_S = scores_of(
    [(i, "S", "outdoor", "s1", x, 0.5) for i, x in zip("abc", [1, 2, 6])]
)


def test_command_writes_tables_into_the_run(run):
    folder = run(OF_S)
    command = ["report.py", "tables", folder, "--latex", "--strata", "SSR"]
    done = subprocess.run(
        [sys.executable, *command, "setting"],
        cwd=SEPARATION,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = "scores.csv summary.csv summary.md summary.tex strata.csv strata.md"
    names = {"save", *(f"test_{name}" for name in names.split())}
    assert {path.name for path in folder.iterdir()} == names
    strata = pd.read_csv(folder / "test_strata.csv")
    assert strata["value"].tolist() == ["-5", "0", "outdoor"]
    assert strata["n"].tolist() == [2, 1, 3]
    assert strata["si_sdr_mean"].tolist() == [3.5, 2, 3]
    assert (folder / "test_summary.md").read_text() in done.stdout
    text = (folder / "test_strata.md").read_text()
    assert text in done.stdout and text.startswith("## By SSR\n\n| value |")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--strata", "decay"], "'decay' is not a column of the scores"),
        (["--strata", "SSR"], "test_S.csv is missing"),
        ([], "test_scores.csv is missing; test the run first"),
    ],
)
def test_what_is_missing_is_said_without_a_traceback(
    run, capsys, arguments, message
):
    folder = run(OF_S)
    if "missing" in message:
        next(folder.rglob(message.split()[0])).unlink()
    assert main(["tables", str(folder), *arguments]) == 1
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == ""
    assert not (folder / "test_summary.md").exists()


@pytest.mark.parametrize("arguments", [[], ["tables"], ["plot", "x"]])
def test_unknown_commands_end_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_texts_are_replaced_as_a_whole(tmp_path):
    write_texts({"a.md": "old", "b.md": "old"}, tmp_path)
    with pytest.raises(TypeError):
        write_texts({"a.md": "new", "b.md": None}, tmp_path)
    assert (tmp_path / "a.md").read_text() == "old"
    assert (tmp_path / "b.md").read_text() == "old"


def test_summary_is_the_one_of_the_test(run, capsys):
    """report.py and train.py write the same bytes, E without mixtures too."""
    folder = run(OF_S)
    write_summary(folder, ["E", "S"], "ES")
    before = (folder / "test_summary.csv").read_bytes()
    assert main(["tables", str(folder)]) == 0
    assert (folder / "test_summary.csv").read_bytes() == before
    assert "| E |  | 0 (no mixtures) |" in capsys.readouterr().out
    assert not (folder / "test_strata.md").exists()
    text = (folder / "test_summary.md").read_text()
    assert text.count("| macro mean |") == 2
    assert "Mean [95 % confidence interval]; n counts rows." in text
    assert "| S | outdoor | 3 | 2.00 (2.65) |" in text
    assert "Median (standard deviation)." in text


def test_enhancement_tested_on_c_alone_has_no_mean_but_tables(run):
    folder = run(scores_of([("a", "C", "indoor", "s1", 60.0, 60.0)]))
    options = "--latex", "--strata", "setting"
    assert main(["tables", str(folder), *options]) == 0
    text = (folder / "test_summary.md").read_text()
    assert "| macro mean |  | 0 (no mixtures) | - |" in text
    text = (folder / "test_strata.csv").read_text()
    assert text.startswith("stratum,value,n,mixtures,few,silent,si_sdr_")
    assert "no mixture" in (folder / "test_strata.md").read_text()


def test_cells_tell_means_medians_and_failures():
    scores = scores_of(
        [
            ("a", "S", "outdoor", "s1", 1.0, -0.001),
            ("b", "S", "outdoor", "s1", np.nan, 0.0),
            ("c", "S", "outdoor", "s1", 3.0, 0.0),
            ("d", "S", "outdoor", "s1", 8.0, 0.0),
        ],
        stoi=0.75,
        pesq=np.nan,
    )
    table = summarise(scores, ["S"], "ES")
    assert cells(table, "mean").loc[0].to_dict() == {
        "variant": "S",
        "setting": "outdoor",
        "n": "4",
        "si sdr": "4.00 [-4.96, 12.96] (1 failed)",
        "si sdr mix": "0.00",  # not -0.00
        "si sdri": "4.00 [-4.96, 12.96] (1 failed)",
        "stoi": "0.750 [0.750, 0.750]",
        "pesq": "- (4 failed)",
    }
    median = cells(table, "median").loc[0]
    assert median["si sdr"] == "3.00 (3.61) (1 failed)"
    assert median["si sdr mix"] == "0.00 (0.00)"
    assert median["pesq"] == "- (4 failed)"


def test_silent_estimates_are_counted_beside_n_in_every_table(run, capsys):
    scores = scores_of(
        [(i, "S", "outdoor", "s1", x, 0) for i, x in zip("abc", [1, -100, 6])]
    )
    folder = run(scores)
    assert main(["tables", str(folder), "--latex", "--strata", "SSR"]) == 0
    text = capsys.readouterr().out
    assert text.count("| 3 (1 silent: -100 dB) | -31.00") == 5  # S and means
    assert text.count("| 1 (1 silent: -100 dB)") == 1  # a stratum
    assert "(1 silent: -100 dB)" in (folder / "test_summary.tex").read_text()
    # A table of an earlier version has no such column.
    old = summarise(scores, ["S"], "ES").drop(columns="silent")
    assert cells(old, "mean")["n"].tolist() == ["3"] * 5


def test_markdown_survives_any_text():
    table = pd.DataFrame({"value": ["a|b", "a\nb", "c\\", "<b>*`", "żółć"]})
    assert to_markdown(table).splitlines() == [
        "| value |",
        "| --- |",
        r"| a\|b |",
        "| a b |",
        r"| c\\ |",
        r"| \<b>\*\` |",
        "| żółć |",
    ]


def test_latex_table_is_well_formed(run):
    folder = run(SMALL.assign(**{"a_b%&": 1.0, "a_b%&_mix": 1.0}))
    assert main(["tables", str(folder), "--latex"]) == 0
    table = (folder / "test_summary.tex").read_text()
    assert " mix " not in table and r"a b\%\&" in table
    lines = [li for li in table.strip().splitlines() if li != r"\midrule"]
    columns = re.fullmatch(r"\\begin\{tabular\}\{(l+)\}", lines[0])[1]
    assert lines[1] == r"\toprule"
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    for line in lines[2:-2]:
        assert line.endswith(r" \\")
        plain = re.sub(r"\\[&%$#_{}]", "", line[:-3])
        assert plain.count("&") == len(columns) - 1
        assert not re.search(r"[%$#_{}~^\\]", plain)
