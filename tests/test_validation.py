"""The figures of a validation.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pytest
from reporting.runs import read_curve
from summary import readable, validation_stats, warn_of_few_mixtures

from speechbrain.utils.train_logger import FileTrainLogger


def rows_of(values, variant="S", setting="outdoor", silent=False):
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
    rows = rows_of([1.0, 3.0]) + rows_of([4.0] * 6, "SER", "indoor")
    stats, by_variant = validation_stats(rows)
    assert stats["SI-SDRi"] == 3
    # Two mixtures vary: Student's t with one degree of freedom.
    assert stats["ci_high"] == pytest.approx(3 + 12.7062 / 2)
    assert stats["ci_low"] == pytest.approx(3 - 12.7062 / 2)
    assert (stats["n"], stats["mixtures"], stats["failures"]) == (8, 8, 0)
    assert by_variant == {"SI-SDRi/S": 2, "SI-SDRi/SER": 4}
    assert {type(stats[key]) for key in ("SI-SDRi", "ci_low")} == {float}


def test_c_indoors_and_outdoors_are_two_variants():
    rows = rows_of([2.0, 2.0], "C") + rows_of([5.0], "C", "indoor")
    stats, by_variant = validation_stats(rows)
    assert stats["SI-SDRi"] == 3.5
    assert by_variant == {"SI-SDRi/C indoor": 5, "SI-SDRi/C outdoor": 2}


@pytest.mark.parametrize("failure", [np.nan, np.inf, -np.inf])
def test_one_failure_makes_the_mean_none(failure):
    stats, by_variant = validation_stats(rows_of([1.0, failure, 3.0]))
    assert np.isnan(stats["SI-SDRi"]) and stats["failures"] == 1
    assert by_variant == {"SI-SDRi/S": 2}


def test_a_silent_reference_is_counted_and_does_not_end_the_training():
    rows = rows_of([1.0, 3.0]) + rows_of([np.nan], silent=True)
    stats, _ = validation_stats(rows)
    assert stats["SI-SDRi"] == 2 and stats["failures"] == 1


@pytest.mark.parametrize("failure", [np.nan, np.inf])
def test_nothing_but_failures_is_no_number(failure):
    stats, by_variant = validation_stats(rows_of([failure] * 3))
    assert np.isnan(stats["SI-SDRi"]) and stats["failures"] == 3
    assert by_variant == {}


@pytest.mark.parametrize(
    "values, text",
    [
        (
            [2.0] * 49,
            "only 49 mixtures: its mean SI-SDRi, 2.00 dB, is known to",
        ),
        ([2.0], "only 1 mixture: its mean SI-SDRi, 2.00 dB, says little"),
        ([2.0] * 50, ""),
    ],
)
def test_few_mixtures_are_warned_of(values, text, caplog):
    stats, _ = validation_stats(rows_of(values))
    assert warn_of_few_mixtures(stats) == bool(text)
    assert text in caplog.text and "nan" not in caplog.text


def test_logged_epoch_is_read_again(tmp_path):
    """What the log is written with is what the report draws."""
    path = str(tmp_path / "train_log.txt")
    log = FileTrainLogger(save_file=path)
    for epoch, gain in ((1, 0.0), (2, 1.5)):
        stats, _ = validation_stats(rows_of([1 + gain, 3 + gain]))
        meta = {"epoch": epoch, "lr": 0.001}
        log.log_stats(meta, readable({"n": 4, "loss": -3.0}), readable(stats))
    curve = read_curve(path)
    assert curve["epoch"].tolist() == [1, 2]
    assert curve["si_sdri"].tolist() == [2, 3.5]
    assert curve["ci_low"].tolist() == [-10.71, -9.21]
    assert curve["train_loss"].tolist() == [-3, -3]
