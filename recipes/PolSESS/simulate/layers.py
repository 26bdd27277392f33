"""Layers of acoustic scenes: swells, hum, scattered sounds, rails, murmur.

Each function fills a length given in samples and returns unit RMS; together
with simulate.sounds.noise they are what scenes are made of.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
from scipy.signal import fftconvolve, lfilter

from simulate.grains import GRAINS
from simulate.sounds import SAMPLE_RATE, add_at, drift, noise, unit_rms

PERIOD_POINTS = 4096  # of the table that holds one period of a hum
VOICE_USES = 3  # of each voice of a murmur, at different times

# Formants (Hz) of five vowels.
_VOWELS = (
    (750, 1250, 2500),
    (500, 1850, 2550),
    (300, 2250, 2950),
    (500, 900, 2450),
    (330, 750, 2350),
)


def swells(rng, n, period, tilt_db=-3.0, low=60.0, high=4000.0, depth_db=12.0):
    """Noise that comes and goes: waves, gusts, passing cars.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of noise and timing.
    n : int
        Length in samples.
    period : float
        Mean time from one swell to the next in seconds.
    tilt_db : float
        Slope of the noise in dB per octave.
    low : float
        Lower edge of the noise in Hz.
    high : float
        Upper edge of the noise in Hz.
    depth_db : float
        Depth of the swells in dB (standard deviation).

    Returns
    -------
    signal : numpy.ndarray
        Unit RMS, shape [n].
    """
    gain = drift(rng, n, 2 / period, depth_db)
    return unit_rms(noise(rng, n, tilt_db, low, high) * gain)


def hum(rng, n, base, count=8, tilt_db=-6.0, wander=0.01):
    """Harmonic tone of engines, fans and mains.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of phases and wandering.
    n : int
        Length in samples.
    base : float
        Fundamental in Hz.
    count : int
        Number of harmonics.
    tilt_db : float
        Slope of the harmonics in dB per octave.
    wander : float
        Relative deviation of the frequency over time.

    Returns
    -------
    signal : numpy.ndarray
        Unit RMS, shape [n].
    """
    pitch = base * (1 + wander * np.log(drift(rng, n, 0.7, 8.686)))
    period = np.zeros(PERIOD_POINTS)
    angle = 2 * np.pi * np.arange(PERIOD_POINTS) / PERIOD_POINTS
    for harmonic in range(1, count + 1):
        if base * harmonic > 0.4 * SAMPLE_RATE:
            break
        level = harmonic ** (tilt_db / 6.02) * rng.uniform(0.5, 1.5)
        period += level * np.sin(harmonic * angle + rng.uniform(0, 6.28))
    phase = np.cumsum(pitch) * (PERIOD_POINTS / SAMPLE_RATE)
    return unit_rms(period[phase.astype(np.int64) % PERIOD_POINTS])


def scatter(rng, n, rate, grain, spread_db=6.0):
    """Grains at random times, as many a second as the rate says.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of times, levels and grains.
    n : int
        Length in samples.
    rate : float
        Mean number of grains per second; at least one is placed.
    grain : str
        Name of the grains in GRAINS.
    spread_db : float
        Standard deviation of the grains' levels.

    Returns
    -------
    signal : numpy.ndarray
        Unit RMS, shape [n].
    """
    signal = np.zeros(n)
    for _ in range(max(1, rng.poisson(rate * n / SAMPLE_RATE))):
        sound = GRAINS[grain](rng)
        sound *= 10 ** (spread_db / 20 * rng.standard_normal())
        add_at(signal, int(rng.integers(n)), sound)
    return unit_rms(signal)


def rails(rng, n, period, grain):
    """Double strokes at nearly regular intervals: wheels over rail joints.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of jitter and grains.
    n : int
        Length in samples.
    period : float
        Time between the double strokes in seconds.
    grain : str
        Name of the strokes in GRAINS.

    Returns
    -------
    signal : numpy.ndarray
        Unit RMS, shape [n].
    """
    signal = np.zeros(n)
    time = period * rng.random()
    while time < n / SAMPLE_RATE:
        for offset in (0.0, 0.17 * period):
            sound = GRAINS[grain](rng) * rng.uniform(0.6, 1.0)
            add_at(signal, round((time + offset) * SAMPLE_RATE), sound)
        time += period * rng.uniform(0.93, 1.07)
    return unit_rms(signal)


def murmur(rng, n, talkers):
    """Unintelligible voices: pulses through wandering vowels in syllables.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of everything.
    n : int
        Length in samples.
    talkers : int
        Number of voices.

    Returns
    -------
    signal : numpy.ndarray
        Unit RMS, shape [n].
    """
    signal = np.zeros(n)
    for talker in range(talkers):
        if talker % VOICE_USES == 0:
            voice = _voice(rng, n)
        shifted = np.roll(voice, int(rng.integers(n)))
        signal += shifted * rng.uniform(0.4, 1.0)
    return unit_rms(signal)


def _voice(rng, n):
    """One unintelligible voice of unit RMS."""
    pitch = rng.uniform(90, 230) * drift(rng, n, 3.0, 1.2)
    phase = np.cumsum(pitch) / SAMPLE_RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)
    pulses += 0.05 * rng.standard_normal(n)
    pulses = lfilter([1, -0.9], [1], pulses)
    voice = np.zeros(n)
    for vowel in rng.choice(len(_VOWELS), 3, replace=False):
        colour = pulses
        for formant in _VOWELS[vowel]:
            colour = _resonate(colour, formant * rng.uniform(0.9, 1.1))
        voice += colour * drift(rng, n, 6.0, 9.0)
    # Syllables, and phrases with pauses between them.
    return unit_rms(voice * drift(rng, n, 8.0, 5.0) * drift(rng, n, 0.8, 8.0))


def _resonate(signal, frequency, bandwidth=110.0):
    """Two-pole resonance."""
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    angle = 2 * np.pi * frequency / SAMPLE_RATE
    return lfilter(
        [1 - radius], [1, -2 * radius * np.cos(angle), radius**2], signal
    )


def diffuse(rng, signal, seconds):
    """Smears a signal with an exponentially decaying noise tail.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of the tail.
    signal : numpy.ndarray
        Shape [time].
    seconds : float
        Time constant of the tail.

    Returns
    -------
    smeared : numpy.ndarray
        Unit RMS, shape [time].
    """
    time = np.arange(round(4 * seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-time / seconds)
    tail[0] += 3.0
    return unit_rms(fftconvolve(signal, tail)[: len(signal)])
