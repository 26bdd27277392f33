"""Metrics against closed forms and the packages; failures are kept."""

import logging
import warnings

import numpy as np
import pesq
import pystoi
import pytest
import soundfile
from metrics import METRICS, score_columns, score_utterance, si_sdr
from recipe import SAMPLES
from scorer import Scorer


@pytest.fixture(scope="module")
def speech():
    """A dry speaker of the sample corpus and the same with noise."""
    path = sorted((SAMPLES / "test/clean").glob("*.wav"))[0]
    reference, sample_rate = soundfile.read(path, dtype="float32")
    noise = np.random.default_rng(0).standard_normal(len(reference))
    estimate = reference + 0.02 * noise.astype("float32")
    return estimate, reference, sample_rate


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 3.5, 80.0])
def test_si_sdr_closed_form(snr_db):
    time = np.arange(8000) / 8000
    reference = np.sin(2 * np.pi * 100 * time)
    error = np.sin(2 * np.pi * 300 * time)
    estimate = -7 * (reference + 10 ** (-snr_db / 20) * error) + 2
    assert si_sdr(estimate, reference) == pytest.approx(snr_db, abs=1e-9)


def test_si_sdr_equals_the_regression_formula():
    """With correlation r, SI-SDR is r^2 / (1 - r^2)."""
    generator = np.random.default_rng(1)
    reference = generator.standard_normal(5000) + 1
    estimate = 0.3 * reference + generator.standard_normal(5000)
    r = np.corrcoef(estimate, reference)[0, 1]
    expected = 10 * np.log10(r**2 / (1 - r**2))
    assert si_sdr(estimate, reference) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "estimate, reference, message",
    [
        (np.ones(100), np.zeros(100), "silent reference"),
        (np.arange(100.0), np.full(100, 0.5), "silent reference"),
        (np.zeros(100), np.arange(100.0), "silent estimate"),
        (np.arange(100.0), np.arange(100.0), "equal to the reference"),
    ],
)
def test_si_sdr_without_an_answer_raises(estimate, reference, message):
    with pytest.raises(ValueError, match=message):
        si_sdr(estimate, reference)


def test_packages_are_called_with_the_right_order_and_band(speech):
    estimate, reference, sample_rate = speech
    assert sample_rate == 8000
    narrow = pesq.pesq(8000, reference, estimate, "nb")
    assert METRICS["pesq"](estimate, reference, 8000) == narrow
    wide = pesq.pesq(16000, reference, estimate, "wb")
    assert METRICS["pesq"](estimate, reference, 16000) == wide
    expected = pystoi.stoi(reference, estimate, 8000)
    assert METRICS["stoi"](estimate, reference, 8000) == expected


def test_every_source_has_its_mixture_baseline(speech):
    estimate, reference, sample_rate = speech
    references = np.stack([reference, reference[::-1]], -1)
    estimates = np.stack([estimate, reference[::-1] + 0.1 * reference], -1)
    mixture = references.sum(-1)
    rows, failures = score_utterance(
        estimates, references, mixture, sample_rate, ["si_sdr", "stoi"]
    )
    assert failures == []
    for source, row in enumerate(rows):
        assert list(row) == score_columns(["si_sdr", "stoi"])
        expected = si_sdr(mixture, references[:, source])
        assert row["si_sdr_mix"] == expected
        assert row["si_sdri"] == row["si_sdr"] - expected
        assert row["stoi_mix"] == METRICS["stoi"](
            mixture, references[:, source], sample_rate
        )


def test_a_failure_leaves_the_other_metrics_and_is_named(speech):
    estimate, reference, sample_rate = speech
    silent = np.zeros_like(reference)
    rows, failures = score_utterance(
        silent[:, None],
        reference[:, None],
        estimate,
        sample_rate,
        ["si_sdr", "pesq", "stoi"],
    )
    assert np.isnan(rows[0]["si_sdr"]) and np.isnan(rows[0]["si_sdri"])
    assert np.isnan(rows[0]["pesq"])
    assert np.isfinite(rows[0]["si_sdr_mix"])
    assert np.isfinite(rows[0]["pesq_mix"])
    assert any("source 1, si_sdr:" in failure for failure in failures)
    assert any("source 1, pesq:" in failure for failure in failures)


def test_stoi_of_too_little_speech_is_a_failure_not_a_number():
    reference = np.zeros(8000)
    reference[:400] = np.random.default_rng(0).standard_normal(400)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pystoi.stoi(reference, reference, 8000) == 1e-5
    with pytest.raises(RuntimeWarning, match="Not enough STFT frames"):
        METRICS["stoi"](reference, reference, 8000)


def test_stoi_of_a_silent_reference_is_a_failure(speech):
    estimate, reference, sample_rate = speech
    silent = np.zeros_like(reference)
    assert pystoi.stoi(silent, estimate, sample_rate) == 0
    with pytest.raises(ValueError, match="silent reference"):
        METRICS["stoi"](estimate, silent, sample_rate)


def test_nan_estimate_is_a_failure():
    reference = np.random.default_rng(0).standard_normal((8000, 1))
    estimate = np.full_like(reference, np.nan)
    rows, failures = score_utterance(
        estimate, reference, reference[:, 0] + 1e-3, 8000, ["si_sdr"]
    )
    assert np.isnan(rows[0]["si_sdr"])
    assert failures


def test_pool_gives_the_rows_of_the_function_in_order(speech, caplog):
    estimate, reference, sample_rate = speech
    metrics = ["si_sdr", "pesq", "stoi"]
    scorer = Scorer(metrics, sample_rate, n_jobs=2)
    for gain in range(40):
        scorer.submit(
            {"ID": f"id{gain}", "variant": "S", "setting": "outdoor"},
            ["s1"],
            ((gain % 5) * estimate + reference)[:, None],
            reference[:, None],
            estimate,
        )
    with caplog.at_level(logging.WARNING):
        rows = scorer.rows()
    assert [row["ID"] for row in rows] == [f"id{gain}" for gain in range(40)]
    for gain, row in enumerate(rows):
        expected, _ = score_utterance(
            ((gain % 5) * estimate + reference)[:, None],
            reference[:, None],
            estimate,
            sample_rate,
            metrics,
        )
        for column, score in expected[0].items():
            assert row[column] == score or np.isnan(score)
    assert scorer.rows() == []
