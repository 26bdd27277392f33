"""report.py compare: what it writes, and what it refuses.

Authors
 * The PolSESS recipe team 2026
"""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from paired_scores import GAINS, ROWS, lines_of, scores_of
from recipe import SEPARATION
from reporting.report import main
from summary import write_csv


@pytest.fixture
def run(tmp_path):
    """A function that writes scores as a run, and gives its folder."""

    def write(name, scores):
        (tmp_path / name).mkdir()
        write_csv(scores, tmp_path / name / "test_scores.csv")
        return str(tmp_path / name)

    return write


def test_scores_that_only_one_run_has_are_not_compared(run, capsys):
    first = scores_of(0).drop(columns=["pesq", "pesq_mix"])
    folders = run("a", first), run("b", scores_of(GAINS))
    assert main(["compare", *folders]) == 0
    printed = capsys.readouterr()
    assert "pesq" not in printed.out
    assert f"only in one of {folders[0]} and {folders[1]}: pesq" in printed.err


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda t: t[t["variant"] != "R"],
            "12 of 28 are in only one of {a} and {b}, for instance indoor00, R, "
            "indoor, s1 (ID, variant, setting, source); test both",
        ),
        (
            lambda t: t[t["ID"] != "indoor03"],
            "instance indoor03, R, indoor, s1",
        ),
        (
            lambda t: pd.concat([t, t[:1].assign(ID="new")]),
            "1 of 29 are in only one of {a} and {b}, for instance new",
        ),
        (
            lambda t: t.assign(source="s1+s2"),
            "56 of 56 are in only one of {a} and {b}",
        ),
        (
            lambda t: t.assign(
                si_sdr_mix=t["si_sdr_mix"] + (t["ID"] == "indoor01")
            ),
            "not tested on the same signals: the mixture's own SI-SDR differs in "
            "2 of 28 rows of {a} and {b}, for instance in indoor01, R, indoor, s1",
        ),
        (
            lambda t: pd.concat([t, t[:1]]),
            "found two of indoor00, R, indoor, s1",
        ),
        (lambda t: t.drop(columns="si_sdri"), "expected the columns ID"),
    ],
)
def test_refusal_names_the_difference(run, capsys, change, message):
    a, b = run("a", scores_of(0)), run("b", change(scores_of(GAINS)))
    assert main(["compare", a, b]) == 1
    printed = capsys.readouterr()
    assert message.format(a=a, b=b) in printed.err
    assert printed.out == "" and "Traceback" not in printed.err


@pytest.mark.parametrize("again", ["{0}", "{0}/", "{0}/../a", "a", "link"])
def test_run_is_not_compared_with_itself(
    run, tmp_path, monkeypatch, capsys, again
):
    folder = run("a", scores_of(0))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    assert main(["compare", folder, again.format(folder)]) == 1
    assert "name two different runs" in capsys.readouterr().err


def test_one_run_is_nothing_to_compare(run, capsys):
    assert main(["compare", run("a", scores_of(0))]) == 1
    assert "name two different runs" in capsys.readouterr().err


def test_missing_run_and_folder_are_named(run, tmp_path, capsys):
    a, b = run("a", scores_of(0)), run("b", scores_of(GAINS))
    assert main(["compare", a, str(tmp_path / "c")]) == 1
    assert "test_scores.csv is missing" in capsys.readouterr().err
    output = str(tmp_path / "absent" / "table.csv")
    assert main(["compare", a, b, "--output", output]) == 1
    assert "absent" in capsys.readouterr().err


def test_relative_runs_and_output_are_written(
    run, tmp_path, monkeypatch, capsys
):
    gains = np.random.default_rng(0).normal(9, 1, len(ROWS))
    run("a", scores_of(0)), run("b", scores_of(gains))
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "a", "b/", "--output", "table.csv"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Differences to a [95 % confidence interval]")
    table = pd.read_csv("table.csv", keep_default_na=False, na_values=[""])
    assert list(table) == (
        "run variant setting score n left_out mixtures mean_first mean "
        "difference ci_low ci_high p_value".split()
    )
    assert set(table["run"]) == {"b"}
    lines = lines_of(table)
    line = lines.loc[("SER", "indoor")]
    assert f"| b | SER | indoor | 12 | {line['difference']:+.2f} [" in printed
    # However small a p is, it is not written as 0.
    assert line["p_value"] == pytest.approx(2 / 2**12, rel=1e-3)


def test_comparison_loads_neither_metrics_nor_plots(run):
    """Two CSV files can be compared where pesq does not compile."""
    a, b = run("a", scores_of(0)), run("b", scores_of(GAINS))
    code = (
        "import sys; from reporting.report import main; main(sys.argv[1:]); "
        "names = 'pesq pystoi matplotlib jinja2 inference reliability'; "
        "sys.exit(str([n for n in names.split() if n in sys.modules] or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", a, b],
        cwd=SEPARATION,
        capture_output=True,
        text=True,
    )
    assert "Differences to" in done.stdout
    assert done.stderr.strip() == ""
