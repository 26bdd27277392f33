"""Metrics against closed forms and independent implementations."""

import warnings

import mir_eval
import numpy as np
import pesq
import pystoi
import pytest
import soundfile
import torch
from losses import pairwise_si_sdr
from metrics import FLOORS, METRICS, estoi, score_signal, sdr, si_sdr
from recipe import SAMPLES
from scipy.signal import butter, sosfilt
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio as reference_si_sdr,
)

FILES = sorted((SAMPLES / "test/clean").glob("*.wav"))
RATE = 8000


def with_noise(reference, level, seed=9):
    """The signal with white noise at a level relative to its own."""
    noise = np.random.default_rng(seed).standard_normal(len(reference))
    noise = level * np.sqrt(np.mean(np.square(reference))) * noise
    return reference + noise.astype(reference.dtype)


def signals():
    """Name -> (estimate, reference) of many kinds."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(16000)
    seconds = np.arange(16000) / RATE
    tone = np.sin(2 * np.pi * 440 * seconds)
    click = np.zeros(16000)
    click[100] = 1
    lowpass = sosfilt(butter(8, 0.05, output="sos"), noise)
    pairs = dict(noise=noise, lowpass=lowpass, tone=tone, click=click)
    for path in FILES:
        pairs[f"speech {path.name[:3]}"], rate = soundfile.read(
            path, dtype="float32"
        )
        assert rate == RATE
    pairs = {name: (with_noise(r, 0.3), r) for name, r in pairs.items()}
    for length in (3, 10, 100, 511, 512, 513):
        part = noise[:length]
        pairs[f"{length} samples"] = with_noise(part, 0.1, length), part
    speech = soundfile.read(FILES[0], dtype="float32")[0]
    speech64 = speech.astype(float)
    room = generator.standard_normal(200) * np.exp(-np.arange(200) / 40)
    filtered = np.convolve(speech64, room)[: len(speech)]
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


SIGNALS = signals()
REFERENCE = soundfile.read(FILES[0], dtype="float32")[0]
ESTIMATE = with_noise(REFERENCE, 0.2)


@pytest.mark.parametrize("name", SIGNALS)
def test_ratios_equal_those_of_torchmetrics_and_mir_eval(name):
    estimate, reference = SIGNALS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected, *_ = mir_eval.separation.bss_eval_sources(
            reference[None], estimate[None], compute_permutation=False
        )
    assert sdr(estimate, reference) == pytest.approx(expected[0], abs=0.01)
    # Its constant is an absolute level, to which quiet signals are not equal.
    level = np.abs(reference).max().astype(float)
    pair = torch.tensor(estimate / level), torch.tensor(reference / level)
    expected = reference_si_sdr(*pair, zero_mean=True).item()
    assert si_sdr(estimate, reference) == pytest.approx(expected, abs=1e-3)


def test_sdr_of_a_tone_that_fades_is_exact():
    """Its autocorrelation is singular; noise of a known level is the error."""
    seconds = np.arange(16000) / RATE
    tone = np.hanning(16000) * np.sin(2 * np.pi * 440 * seconds)
    estimate = with_noise(tone, 0.01)
    # The filter can only take from the noise what lies at the tone.
    assert sdr(estimate, tone) == pytest.approx(40, abs=0.3)


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 3.5, 80.0, 150.0])
def test_si_sdr_has_its_closed_form(snr_db):
    """Neither scale, sign nor offset counts, of estimate or reference."""
    time = np.arange(8000) / RATE
    reference = np.sin(2 * np.pi * 100 * time)
    error = np.sin(2 * np.pi * 300 * time)
    estimate = -7 * (reference + 10 ** (-snr_db / 20) * error) + 2
    found = si_sdr(estimate, reference - 5)
    assert found == pytest.approx(snr_db, abs=1e-5)


RAMP = np.arange(100.0)
CONSTANT = np.full(100, 0.1)  # whose mean is another number, by its rounding
EVEN = np.tile([1.0, -1.0], 50)


@pytest.mark.parametrize(
    "metrics, estimate, reference, message",
    [
        ([si_sdr, sdr], RAMP, 0 * RAMP, "silent reference"),
        ([si_sdr, sdr], 0 * RAMP, RAMP, "silent estimate"),
        ([si_sdr, sdr], RAMP, RAMP, "equal to the reference"),
        ([si_sdr, sdr], -3 * RAMP, RAMP, "equal to the reference"),
        ([si_sdr], RAMP, CONSTANT, "silent reference"),
        ([si_sdr], CONSTANT, RAMP, "silent estimate"),
        ([si_sdr], EVEN, np.repeat(EVEN[:50], 2), "nothing of the reference"),
    ],
)
def test_ratio_without_an_answer_raises(metrics, estimate, reference, message):
    assert CONSTANT.mean() != 0.1
    for metric in metrics:
        with pytest.raises(ValueError, match=message):
            metric(estimate, reference)


@pytest.mark.parametrize(
    "gain, dtype, rate, mode",
    [(1, "float32", 8000, "nb"), (1e-6, "float64", 16000, "wb")],
)
def test_packages_are_given_the_right_order_and_band(gain, dtype, rate, mode):
    estimate = (gain * ESTIMATE).astype(dtype)
    reference = (gain * REFERENCE).astype(dtype)
    found = {n: f(estimate, reference, rate) for n, f in METRICS.items()}
    assert found["pesq"] == pesq.pesq(rate, reference, estimate, mode)
    for name, extended in (("stoi", False), ("estoi", True)):
        expected = pystoi.stoi(reference, estimate, rate, extended)
        assert found[name] == pytest.approx(expected, abs=1e-9)


def test_silent_bands_have_the_same_score_each_time():
    """pystoi fills them with numbers that it draws."""
    estimate = ESTIMATE.copy()
    estimate[4000:9000] = 0
    found = set()
    for seed in range(3):
        np.random.seed(seed)
        state = np.random.get_state()[1].copy()
        found.add(estoi(estimate, REFERENCE, RATE))
        assert np.array_equal(state, np.random.get_state()[1])
    assert len(found) == 1


NOISE = np.random.default_rng(0).standard_normal(8000)


@pytest.mark.parametrize("name", ["stoi", "estoi"])
@pytest.mark.parametrize(
    "reference, message",
    [
        (np.zeros(8000), "silent reference"),
        (np.pad(NOISE[:400], (0, 7600)), "too little speech: Not enough"),
        *((NOISE[:n], "too little speech") for n in (1, 200, 256, 257, 3000)),
    ],
)
def test_stoi_without_an_answer_raises(name, reference, message):
    with pytest.raises(ValueError, match=message):
        METRICS[name](NOISE[: len(reference)], reference, 10000)


@pytest.mark.parametrize("samples", [4223, 4224, 4225])
def test_stoi_of_few_frames_equals_the_package(samples):
    reference, estimate = NOISE[:samples], with_noise(NOISE[:samples], 1)
    for name, extended in (("stoi", False), ("estoi", True)):
        expected = pystoi.stoi(reference, estimate, 10000, extended)
        found = METRICS[name](estimate, reference, 10000)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "broken, value", [(0, np.nan), (0, -np.inf), (1, np.nan), (1, np.inf)]
)
@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_fails_in_every_metric(broken, value):
    pair = [ESTIMATE.copy(), REFERENCE.copy()]
    pair[broken][1234] = value
    scores = score_signal(*pair, RATE, METRICS)
    assert list(scores) == list(METRICS)
    for name, (score, failure) in scores.items():
        # A broken reference gives no score, a broken estimate the floor.
        assert score == FLOORS[name] if broken == 0 else np.isnan(score)
        assert failure.endswith("Error('samples that are not finite')")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_silence_has_the_floor_and_against_silence_there_is_no_score():
    silent = np.zeros_like(REFERENCE)
    floors = dict(si_sdr=-100, sdr=-100, pesq=1, stoi=0, estoi=0)
    scores = score_signal(silent, REFERENCE, RATE, METRICS)
    reason = "SilentEstimateError('silent estimate')"
    assert scores == {name: (x, reason) for name, x in floors.items()}
    for estimate in (ESTIMATE, silent):
        scores = score_signal(estimate, silent, RATE, METRICS)
        for score, failure in scores.values():
            assert np.isnan(score) and "Error(" in failure
    # The loss, and with it the validation, has the same floor.
    pair = [torch.tensor(x)[None, :, None] for x in (silent, REFERENCE)]
    assert pairwise_si_sdr(*pair).item() == pytest.approx(-100, abs=1e-4)


def test_no_score_is_below_the_floor():
    """Muting would pay there."""
    for level_db, expected in ((-99, -99), (-101, -100)):
        estimate = 10 ** (level_db / 20) * EVEN + np.repeat(EVEN[:50], 2)
        score, _ = score_signal(estimate, EVEN, RATE, ["si_sdr"])["si_sdr"]
        assert score == pytest.approx(expected, abs=1e-3)


def test_metric_cannot_touch_what_others_score(monkeypatch):
    def writes(estimate, reference, sample_rate):
        estimate[:] = reference[:] = 0
        return -0.0

    monkeypatch.setitem(METRICS, "writes", writes)
    monkeypatch.setitem(METRICS, "fails", lambda *job: {}["key"])
    monkeypatch.setitem(METRICS, "endless", lambda *job: np.inf)
    monkeypatch.setitem(METRICS, "rate", lambda e, r, sample_rate: sample_rate)
    names = ["writes", "fails", "endless", "rate", "si_sdr"]
    scores = score_signal(ESTIMATE, REFERENCE, RATE, names)
    assert list(scores) == names
    assert str(scores["writes"]) == "(0.0, None)"  # and not -0.0
    assert scores["fails"][1] == "KeyError('key')"
    assert scores["endless"][1] == "ValueError('the score is inf')"
    assert np.isnan([scores["fails"][0], scores["endless"][0]]).all()
    assert scores["rate"] == (RATE, None)
    assert scores["si_sdr"] == (si_sdr(ESTIMATE, REFERENCE), None)
