"""Metrics against closed forms and independent implementations."""

import warnings

import mir_eval
import numpy as np
import pesq
import pystoi
import pytest
import soundfile
import torch
from metrics import METRICS, estoi, sdr, si_sdr
from recipe import SAMPLES
from scipy.signal import butter, sosfilt
from scoring import score_signal
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio as reference_si_sdr,
)

FILES = sorted((SAMPLES / "test/clean").glob("*.wav"))


def with_noise(reference, level, seed=9):
    """The signal with white noise at a level relative to its own."""
    noise = np.random.default_rng(seed).standard_normal(len(reference))
    noise = level * np.sqrt(np.mean(np.square(reference))) * noise
    return reference + noise.astype(reference.dtype)


@pytest.fixture(scope="module")
def speech():
    """A dry speaker of the sample corpus and the same with noise."""
    reference, sample_rate = soundfile.read(FILES[0], dtype="float32")
    return with_noise(reference, 0.2), reference, sample_rate


def signals():
    """Name -> (estimate, reference) of many kinds."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(16000)
    seconds = np.arange(16000) / 8000
    lowpass = sosfilt(butter(8, 0.05, output="sos"), noise)
    tone = np.sin(2 * np.pi * 440 * seconds)
    speech, _ = soundfile.read(FILES[0], dtype="float32")
    speech64 = speech.astype(float)
    room = generator.standard_normal(200) * np.exp(-np.arange(200) / 40)
    filtered = np.convolve(speech64, room)[: len(speech)]
    pairs = {
        f"speech {path.name[:3]}": soundfile.read(path, dtype="float32")[0]
        for path in FILES
    }
    pairs.update(noise=noise, lowpass=lowpass, tone=tone, click=noise * 0)
    pairs["click"][100] = 1
    pairs = {name: (with_noise(r, 0.3), r) for name, r in pairs.items()}
    for length in (3, 10, 100, 511, 512, 513):
        part = noise[:length]
        pairs[f"{length} samples"] = with_noise(part, 0.1, length), part
    return {
        **pairs,
        "60 dB": (with_noise(speech64, 1e-3), speech64),
        "-40 dB": (with_noise(speech64, 100), speech64),
        "unrelated": (noise[: len(speech)], speech64[:16000]),
        "filtered": (with_noise(filtered, 0.01), speech64),
        "offset": (with_noise(speech, 0.1) + 0.5, speech - 0.2),
        "inverted": (-3 * with_noise(speech, 0.1), speech),
        "quiet": (1e-9 * with_noise(speech, 0.1), 1e-7 * speech),
        "loud": (1e9 * with_noise(speech, 0.1), 1e7 * speech),
        "tone in tone": (tone + 0.1 * np.sin(6 * seconds), tone),
    }


@pytest.mark.parametrize("name", signals())
def test_si_sdr_equals_torchmetrics(name):
    estimate, reference = map(np.float64, signals()[name])
    # Its constant is an absolute level, to which quiet signals are not equal.
    level = np.abs(reference).max()
    expected = reference_si_sdr(
        torch.tensor(estimate / level),
        torch.tensor(reference / level),
        zero_mean=True,
    )
    assert si_sdr(estimate, reference) == pytest.approx(
        expected.item(), abs=1e-3
    )


@pytest.mark.parametrize("name", signals())
def test_sdr_equals_mir_eval(name):
    estimate, reference = signals()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected, *_ = mir_eval.separation.bss_eval_sources(
            reference[None], estimate[None], compute_permutation=False
        )
    assert sdr(estimate, reference) == pytest.approx(expected[0], abs=0.01)


def test_sdr_of_a_tone_that_fades_was_a_failure():
    """Its autocorrelation is singular; noise of a known level is the error."""
    seconds = np.arange(16000) / 8000
    tone = np.hanning(16000) * np.sin(2 * np.pi * 440 * seconds)
    estimate = with_noise(tone, 0.01)
    # The filter can only take from the noise what lies at the tone.
    assert sdr(estimate, tone) == pytest.approx(40, abs=0.3)
    loud = np.stack([tone, np.roll(tone, 1)], -1)
    level = np.linalg.lstsq(loud, estimate, rcond=None)[0]
    error = estimate - loud @ level
    bound = 10 * np.log10(np.sum((loud @ level) ** 2) / (error @ error))
    assert sdr(estimate, tone) >= bound


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 3.5, 80.0, 150.0])
def test_si_sdr_closed_form(snr_db):
    time = np.arange(8000) / 8000
    reference = np.sin(2 * np.pi * 100 * time)
    error = np.sin(2 * np.pi * 300 * time)
    estimate = -7 * (reference + 10 ** (-snr_db / 20) * error) + 2
    assert si_sdr(estimate, reference) == pytest.approx(snr_db, abs=1e-3)


def test_si_sdr_equals_the_regression_formula():
    """With correlation r, SI-SDR is r^2 / (1 - r^2)."""
    generator = np.random.default_rng(1)
    reference = generator.standard_normal(5000) + 1
    estimate = 0.3 * reference + generator.standard_normal(5000)
    r = np.corrcoef(estimate, reference)[0, 1]
    expected = 10 * np.log10(r**2 / (1 - r**2))
    assert si_sdr(estimate, reference) == pytest.approx(expected, abs=1e-9)


RAMP = np.arange(100.0)


@pytest.mark.parametrize("metric", [si_sdr, sdr])
@pytest.mark.parametrize(
    "estimate, reference, message",
    [
        (RAMP, np.zeros(100), "silent reference"),
        (np.zeros(100), RAMP, "silent estimate"),
        (RAMP, RAMP, "equal to the reference"),
        (-3 * RAMP, RAMP, "equal to the reference"),
    ],
)
def test_ratio_without_an_answer_raises(metric, estimate, reference, message):
    with pytest.raises(ValueError, match=message):
        metric(estimate, reference)


def test_constant_signal_had_the_si_sdr_of_its_rounding():
    assert np.full(100, 0.1).mean() != 0.1
    with pytest.raises(ValueError, match="silent reference"):
        si_sdr(RAMP, np.full(100, 0.1))
    with pytest.raises(ValueError, match="silent estimate"):
        si_sdr(np.full(100, 0.1), RAMP)


def test_si_sdr_of_what_has_nothing_of_the_reference_raises():
    even = np.tile([1.0, -1.0], 50)
    with pytest.raises(ValueError, match="nothing of the reference"):
        si_sdr(even, np.repeat(even[:50], 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gain", [1e-6, 1, 1e6])
def test_packages_are_called_with_the_right_order_and_band(speech, dtype, gain):
    estimate, reference, sample_rate = speech
    estimate = gain * estimate.astype(dtype)
    reference = gain * reference.astype(dtype)
    assert sample_rate == 8000
    scores = {
        (name, rate): METRICS[name](estimate, reference, rate)
        for name in ("pesq", "stoi", "estoi")
        for rate in (8000, 16000)
    }
    for rate, mode in ((8000, "nb"), (16000, "wb")):
        expected = pesq.pesq(rate, reference, estimate, mode)
        assert scores["pesq", rate] == expected
        expected = pystoi.stoi(reference, estimate, rate)
        assert scores["stoi", rate] == pytest.approx(expected, abs=1e-12)
        expected = pystoi.stoi(reference, estimate, rate, extended=True)
        assert scores["estoi", rate] == pytest.approx(expected, abs=1e-9)


def test_silent_and_partly_silent_estimates_had_random_scores(speech):
    """pystoi fills silent bands with numbers that it draws each time."""
    estimate, reference, sample_rate = speech
    silent = np.zeros_like(reference)
    assert estoi(silent, reference, sample_rate) == 0
    estimate = estimate.copy()
    estimate[4000:9000] = 0
    state = np.random.get_state()[1].copy()
    found = [estoi(estimate, reference, sample_rate) for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert np.array_equal(state, np.random.get_state()[1])


def test_stoi_of_too_little_speech_is_a_failure_not_a_number():
    reference = np.zeros(8000)
    reference[:400] = np.random.default_rng(0).standard_normal(400)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pystoi.stoi(reference, reference, 8000) == 1e-5
    for name in ("stoi", "estoi"):
        with pytest.raises(ValueError, match="too little speech: Not enough"):
            METRICS[name](reference, reference, 8000)


@pytest.mark.parametrize("samples", [1, 200, 256, 257, 3000])
def test_stoi_of_short_signals_is_a_failure(samples):
    signal = np.random.default_rng(0).standard_normal(samples)
    for name in ("stoi", "estoi"):
        with pytest.raises(ValueError, match="too little speech"):
            METRICS[name](signal, signal, 10000)


@pytest.mark.parametrize("samples", [256 + 128 * 31, 4223, 4224, 4225, 4352])
def test_stoi_of_few_frames_equals_the_package(samples):
    reference, noise = np.random.default_rng(0).standard_normal((2, samples))
    estimate = reference + noise
    for name, extended in (("stoi", False), ("estoi", True)):
        expected = pystoi.stoi(reference, estimate, 10000, extended)
        found = METRICS[name](estimate, reference, 10000)
        assert found == pytest.approx(expected, abs=1e-9)


def test_stoi_of_a_silent_reference_is_a_failure(speech):
    estimate, reference, sample_rate = speech
    silent = np.zeros_like(reference)
    assert pystoi.stoi(silent, estimate, sample_rate) == 0
    for name in ("stoi", "estoi"):
        with pytest.raises(ValueError, match="silent reference"):
            METRICS[name](estimate, silent, sample_rate)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("broken", ["estimate", "reference"])
@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_fails_in_every_metric(speech, value, broken):
    pair = {"estimate": speech[0].copy(), "reference": speech[1].copy()}
    pair[broken][1234] = value
    scores = score_signal(*pair.values(), 8000, METRICS)
    assert list(scores) == list(METRICS)
    for score, failure in scores.values():
        assert np.isnan(score)
        assert failure == "ValueError('samples that are not finite')"


def test_silent_estimate_fails_where_a_metric_has_no_answer(speech):
    silent = np.zeros_like(speech[1])
    scores = score_signal(silent, speech[1], 8000, METRICS)
    for name in ("si_sdr", "sdr", "pesq"):
        assert np.isnan(scores[name][0])
        assert scores[name][1].startswith("ValueError")
    assert scores["stoi"] == (0, None)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_silent_reference_fails_in_every_metric(speech):
    silent = np.zeros_like(speech[1])
    for estimate in (speech[0], silent):
        for score, failure in score_signal(
            estimate, silent, 8000, METRICS
        ).values():
            assert np.isnan(score)
            assert failure
