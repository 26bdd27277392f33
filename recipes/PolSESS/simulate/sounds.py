"""Procedural scenes and events: coloured noise with a slow gain, and grains.

sounds.csv has one row per layer of a class. Its columns:

kind       noise, or grains at random times: tone (harmonic) or burst (noise)
level_db   level of the layer against the others of its class
low_hz, high_hz  band of the noise; range of the fundamental of a tone
tilt_db    slope of the spectrum in dB per octave
rate       values of the slow gain, or grains, per second
spread_db  standard deviation of the gain, or of the levels of the grains
seconds    mean length of a grain
attack     share of a grain before its maximum
partials   number of harmonics of a tone
glide      frequency at the end of a tone over that at its start

The event classes are labels of ESC-50 and FSD50K.
"""

import csv
import functools
import pathlib

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.interpolate import PchipInterpolator

from simulate.audio import rms

SAMPLE_RATE = 16000  # Hz
# Role -> mean RMS of its recordings, standard deviation in dB, peak range.
LEVELS = {
    "envScene": (0.05, 0.0, (0.0, 0.9)),
    "events": (0.02, 3.0, (0.1, 0.5)),
}
LAYER_SPREAD_DB = 2.0  # of a layer's level over the recordings of a class
PERIOD_POINTS = 4096


@functools.lru_cache(maxsize=None)
def read_sounds():
    """Reads the layers of each class from sounds.csv.

    Returns
    -------
    sounds : dict
        Role -> class -> list of layers; a layer maps columns to values.
    """
    sounds = {role: {} for role in LEVELS}
    path = pathlib.Path(__file__).with_name("sounds.csv")
    with open(path, encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            layers = sounds[row.pop("role")].setdefault(row.pop("class"), [])
            kind = row.pop("kind")
            numbers = {name: float(text or 0) for name, text in row.items()}
            layers.append({"kind": kind, **numbers})
    return sounds


def make_sound(rng, role, label, duration_seconds, segment_seconds):
    """Makes a recording of a scene or of a repeated event.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of all differences between the recordings of a class.
    role : str
        "envScene" or "events".
    label : str
        Class of the scene or event, as in sounds.csv.
    duration_seconds : float
        Length of the recording.
    segment_seconds : float
        Length of a mixture. Events pause for at most 0.4 of it, so that every
        segment contains sound.

    Returns
    -------
    signal : numpy.ndarray
        Samples at SAMPLE_RATE with the level and peak of LEVELS, shape [time].

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> make_sound(rng, "envScene", "beach", 0.5, 0.5).shape
    (8000,)
    """
    n_samples = round(duration_seconds * SAMPLE_RATE)
    longest_pause = 0.4 * segment_seconds if role == "events" else np.inf
    signal = np.zeros(n_samples)
    for layer in read_sounds()[role][label]:
        if layer["kind"] == "noise":
            sound = _noise(rng, n_samples, layer)
            sound *= _slow_gain(rng, n_samples, layer)
        else:
            sound = _grains(rng, n_samples, layer, longest_pause)
        level_db = layer["level_db"] + LAYER_SPREAD_DB * rng.standard_normal()
        signal += 10 ** (level_db / 20) / rms(sound) * sound
    level, spread_db, peak_range = LEVELS[role]
    level *= 10 ** (spread_db / 20 * rng.standard_normal())
    signal *= level / rms(signal)
    peak = np.abs(signal).max()
    return signal * np.clip(peak, *peak_range) / peak


def _noise(rng, n_samples, layer):
    """Noise with a tilt, in a band with edges of 12 dB per octave."""
    n_grid = next_fast_len(n_samples, real=True)
    frequency = np.maximum(rfftfreq(n_grid, 1 / SAMPLE_RATE), 1.0)
    gain = (frequency / 1000) ** (layer["tilt_db"] / 6.02)
    gain /= np.sqrt(1 + (layer["low_hz"] / frequency) ** 4)
    gain /= np.sqrt(1 + (frequency / layer["high_hz"]) ** 4)
    spectrum = rfft(rng.standard_normal(n_grid)) * gain
    return irfft(spectrum, n_grid)[:n_samples]


def _slow_gain(rng, n_samples, layer):
    """Gain that passes smoothly through random values."""
    step = SAMPLE_RATE / layer["rate"]
    values = rng.standard_normal(int(n_samples / step) + 3)
    levels_db = layer["spread_db"] * values
    curve = PchipInterpolator(np.arange(len(levels_db)), levels_db)
    return 10 ** (curve(np.arange(n_samples) / step) / 20)


def _grains(rng, n_samples, layer, longest_pause):
    """Grains at random times; longest_pause is in seconds."""
    make_grain = {"tone": _tone, "burst": _noise}[layer["kind"]]
    interval = SAMPLE_RATE / layer["rate"]
    pause = longest_pause * SAMPLE_RATE
    signal = np.zeros(n_samples)
    start = rng.uniform(0, min(interval, pause, n_samples))
    while start < n_samples:
        seconds = layer["seconds"] * rng.uniform(0.7, 1.3)
        n_grain = round(seconds * SAMPLE_RATE)
        grain = make_grain(rng, n_grain, layer) * _envelope(n_grain, layer)
        grain *= 10 ** (layer["spread_db"] / 20 * rng.standard_normal())
        place = signal[int(start) : int(start) + n_grain]
        place += (grain / np.abs(grain).max())[: len(place)]
        start += min(interval * rng.uniform(0.3, 1.7), n_grain + pause)
    return signal


def _tone(rng, n_samples, layer):
    """Gliding harmonic tone, read from a table of one period."""
    pitch = rng.uniform(layer["low_hz"], layer["high_hz"])
    pitch = pitch * np.geomspace(1, layer["glide"], n_samples)
    numbers = np.arange(1, int(layer["partials"]) + 1)
    numbers = numbers[numbers * pitch.max() < 0.45 * SAMPLE_RATE]
    phases = np.exp(2j * np.pi * rng.random(len(numbers)))
    spectrum = np.zeros(PERIOD_POINTS // 2 + 1, dtype=complex)
    spectrum[numbers] = numbers ** (layer["tilt_db"] / 6.02) * phases
    place = np.cumsum(pitch) / SAMPLE_RATE % 1 * PERIOD_POINTS
    return irfft(spectrum)[place.astype(int)]


def _envelope(n_samples, layer):
    """Linear rise to the maximum of a grain, then a quadratic fall."""
    place = (np.arange(n_samples) + 0.5) / n_samples
    rise = np.minimum(1, place / layer["attack"])
    fall = np.minimum(1, (1 - place) / (1 - layer["attack"]))
    return rise * fall**2
