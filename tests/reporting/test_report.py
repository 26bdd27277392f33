"""report.py tables: which files it writes, and what it refuses.

Authors
 * The PolSESS recipe team 2026
"""

import pandas as pd
import pytest
from reporting.report import main
from reporting.tables import write_texts
from summary import write_csv, write_summary


@pytest.fixture
def run(tmp_path):
    """The folder of a run that was tested on three mixtures."""
    scores = pd.DataFrame({"ID": ["a", "b", "c"], "variant": "S"})
    scores = scores.assign(setting="outdoor", source="s1", si_sdr=[1, 2, 6])
    scores = scores.assign(si_sdr_mix=0.5, si_sdri=scores["si_sdr"] - 0.5)
    (tmp_path / "run" / "save").mkdir(parents=True)
    write_csv(scores, tmp_path / "run" / "test_scores.csv")
    manifest = pd.DataFrame({"ID": ["a", "b", "c"], "ssr_db": [-5, 0, -5]})
    metadata = pd.DataFrame({"ID": ["a", "b", "c"], "SSR": [-5, 0, -5]})
    for name, table in (("S", manifest), ("metadata", metadata)):
        path = tmp_path / "run" / "save" / f"test_{name}.csv"
        table.to_csv(path, index=False)
    return tmp_path / "run"


def test_tables_are_written_into_the_run(run, capsys):
    arguments = ["tables", str(run), "--strata", "SSR", "setting", "--latex"]
    assert main(arguments) == 0
    assert {path.name for path in run.iterdir()} == {
        "save",
        "test_scores.csv",
        "test_summary.csv",
        "test_summary.md",
        "test_summary.tex",
        "test_strata.csv",
        "test_strata.md",
    }
    strata = pd.read_csv(run / "test_strata.csv")
    assert strata["value"].tolist() == ["-5", "0", "outdoor"]
    assert strata["n"].tolist() == [2, 1, 3]
    assert strata["si_sdr_mean"].tolist() == [3.5, 2, 3]
    printed = capsys.readouterr()
    assert (run / "test_summary.md").read_text() in printed.out
    assert (run / "test_strata.md").read_text() in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["{run}", "--strata", "decay"],
            "'decay' is not a column of the scores",
        ),
        (["{run}", "--strata", "SSR"], "test_S.csv is missing"),
        (["{run}/no"], "test_scores.csv is missing; test the run first"),
    ],
)
def test_what_is_missing_is_said_without_a_traceback(
    run, capsys, arguments, message
):
    if "SSR" in arguments:
        (run / "save/test_S.csv").unlink()
    assert main(["tables", *(a.format(run=run) for a in arguments)]) == 1
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == ""
    assert not (run / "test_summary.md").exists()


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
    assert (tmp_path / "a.md").read_text() == "new"
    assert (tmp_path / "b.md").read_text() == "old"


def test_summary_is_the_one_of_the_test(run, capsys):
    """report.py and train.py write the same bytes, E without mixtures too."""
    write_summary(run, ["E", "S"], "ES")
    before = (run / "test_summary.csv").read_bytes()
    assert main(["tables", str(run)]) == 0
    assert (run / "test_summary.csv").read_bytes() == before
    assert "| E |  | 0 (no mixtures) |" in capsys.readouterr().out
    assert not (run / "test_strata.md").exists()
