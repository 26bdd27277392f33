"""The files of a run: scores are checked, a damaged log is no error."""

import pandas as pd
import pytest
from reporting.runs import read_curve, read_scores
from summary import write_csv

COLUMNS = "ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri"


def curve_of(folder, *lines):
    path = folder / "train_log.txt"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return read_curve(str(path))


def test_scores_are_read_as_they_were_written(tmp_path):
    """IDs are names, whatever they look like; an empty score is a failure."""
    ids = ["007", "1e5", "NA", "nan", "None", "7", "true", "ą,b"]
    scores = pd.DataFrame({"ID": sorted(ids), "variant": "S"})
    scores = scores.assign(setting="outdoor", source="s1+s2", si_sdr=1.25)
    scores = scores.assign(si_sdr_mix=-1.5, si_sdri=2.75)
    scores.loc[0, ["si_sdr", "si_sdri"]] = float("nan")
    write_csv(scores, tmp_path / "test_scores.csv")
    pd.testing.assert_frame_equal(read_scores(str(tmp_path)), scores)


@pytest.mark.parametrize(
    "header, lines, problem",
    [
        (COLUMNS, [], "expected a row for each mixture, found none"),
        ("ID,variant,source,si_sdr", ["a,S,s1,1"], "expected the columns ID"),
        (COLUMNS, ["a,S,outdoor,s1,good,0,1"], "numbers in the column si_sdr"),
        (COLUMNS, ["a,XY,outdoor,s1,1,0,1"], "expected variants of SER"),
        (COLUMNS, ["a,S,inside,s1,1,0,1"], "expected settings of indoor"),
        (
            COLUMNS,
            ["a,S,outdoor,s1,1,0,1", "a,S,outdoor,,1,0,1"],
            r"no task has the sources \['nan', 's1'\]",
        ),
        (
            COLUMNS,
            ["a,S,outdoor,s1,1,0,1", "b,S,outdoor,s1,2,0,2"] * 2,
            "one row for each source, found two of a, S, outdoor, s1",
        ),
        (COLUMNS, ["a,S,outdoor,s1,1,0,1", "a,S,1,2,3,4,5,6,7"], "line 3"),
        ("", [], "test_scores.csv: "),
        ("\udcff\udcfe", [], "test_scores.csv: "),  # no text
    ],
)
def test_scores_of_another_version_are_refused(
    tmp_path, header, lines, problem
):
    with pytest.raises(ValueError, match="is missing; test the run first"):
        read_scores(str(tmp_path))
    path = tmp_path / "test_scores.csv"
    text = "\n".join([header, *lines, ""])
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=problem) as error:
        read_scores(str(tmp_path))
    assert str(error.value).startswith(str(path))
    assert "test the run again" in str(error.value)


def test_the_last_line_of_each_epoch_is_read_of_either_version(tmp_path):
    curve = curve_of(
        tmp_path,
        b"epoch: 1, lr: 1.00e-03 - train n: 4, train loss: 25.38 - valid "
        b"SI-SDRi: -17.30, valid ci_low: -20.74, valid ci_high: -13.85",
        b"epoch: 2 - valid SI-SDRi: 2.0",
        b"epoch: 3 - valid SI-SDRi: 3.0",
        # Trained again after an interruption.
        b"epoch: 2, lr: 9.50e-04 - train n: 8, train loss: -3.50e+00 - valid "
        b"SI-SDRi: 2.98, valid +-: 4.23e-01, valid n: 138, valid failures: 0",
    )
    assert curve["epoch"].tolist() == [1, 2, 3]
    assert curve["train_loss"].tolist()[:2] == [25.38, -3.5]
    assert curve["si_sdri"].tolist() == [-17.3, 2.98, 3.0]
    assert curve["ci_low"].tolist()[0] == -20.74
    assert curve["ci_high"].tolist()[0] == -13.85
    assert curve["ci_high"].isna().tolist() == [False, True, True]


def test_garbage_in_a_log_hides_no_epoch(tmp_path):
    """A log cut by a full disk must not cost the report of the test."""
    curve = curve_of(
        tmp_path,
        b"\xff\x00\xfe garbage",
        b"",
        b"Epoch loaded: 3 - test loss: 1",
        b"epoch: what - valid SI-SDRi: 5",
        b"epoch: 1, lr: 1.00e-03 - train loss: nan - valid SI-SDRi: 1.0",
        b"epoch: 2, lr: 1.0",
        b"epoch: 3, lr: : -",
    )
    assert curve["epoch"].tolist() == [1, 2, 3]
    assert curve["si_sdri"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize("lines", [[], [b"nothing"], [b"epoch: x"]])
def test_log_without_epochs_is_an_empty_curve(tmp_path, lines):
    assert curve_of(tmp_path, *lines).empty
    assert read_curve(str(tmp_path / "absent.txt")).empty
