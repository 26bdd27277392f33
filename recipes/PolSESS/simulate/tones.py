"""Short sounds with parameters: struck, gliding, dull and noisy ones.

Each takes a random generator first and returns samples at SAMPLE_RATE with
unit peak.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np

from simulate.sounds import SAMPLE_RATE, noise, unit_peak


def _seconds(duration):
    return max(1, round(duration * SAMPLE_RATE))


def ping(rng, low, high, partials=4, decay=0.1, ratio=None):
    """Struck metal or glass: decaying partials.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of frequencies.
    low : float
        Lowest frequency of the first partial in Hz.
    high : float
        Highest frequency of the first partial in Hz.
    partials : int
        Number of partials.
    decay : float
        Time constant of the first partial in seconds.
    ratio : float, optional
        Step of the partials' frequencies; drawn for each one if None.

    Returns
    -------
    grain : numpy.ndarray
        Unit peak, five time constants long.
    """
    time = np.arange(_seconds(5 * decay)) / SAMPLE_RATE
    frequency = rng.uniform(low, high)
    grain = np.zeros(len(time))
    for index in range(partials):
        if frequency > 0.45 * SAMPLE_RATE:
            break
        level = rng.uniform(0.4, 1.0) / (1 + 0.5 * index)
        rate = (1 + 0.6 * index) / decay
        tone = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 6.28))
        grain += level * np.exp(-rate * time) * tone
        frequency *= ratio or rng.uniform(1.3, 2.2)
    grain *= np.minimum(1.0, time / 0.001)
    return unit_peak(grain)


def sweep(rng, start, stop, duration, harmonics=1, vibrato=0.0, rate=20.0):
    """Gliding tone: birds, animals, signals.

    Arguments
    ---------
    rng : numpy.random.Generator
        Varies the frequencies by 10 %.
    start : float
        Frequency at the beginning in Hz.
    stop : float
        Frequency at the end in Hz.
    duration : float
        In seconds.
    harmonics : int
        Number of harmonics, each 6 dB below the one before.
    vibrato : float
        Relative depth of the vibrato.
    rate : float
        Frequency of the vibrato in Hz.

    Returns
    -------
    grain : numpy.ndarray
        Unit peak, shape [duration * SAMPLE_RATE].
    """
    n = _seconds(duration)
    time = np.arange(n) / SAMPLE_RATE
    pitch = np.geomspace(start, stop, n) * rng.uniform(0.9, 1.1)
    pitch *= 1 + vibrato * np.sin(2 * np.pi * rate * time)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    grain = sum(
        np.sin(k * phase) / 2 ** (k - 1)
        for k in range(1, harmonics + 1)
        if k * max(start, stop) < 0.45 * SAMPLE_RATE
    )
    return unit_peak(grain * np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 0.5)


def thud(rng, frequency, decay=0.08, click=0.3):
    """Dull stroke: a decaying low tone with a click of noise.

    Arguments
    ---------
    rng : numpy.random.Generator
        Varies the tone by 15 % and makes the noise.
    frequency : float
        Of the tone in Hz.
    decay : float
        Time constant in seconds.
    click : float
        Level of the noise against the tone.

    Returns
    -------
    grain : numpy.ndarray
        Unit peak, six time constants long.
    """
    time = np.arange(_seconds(6 * decay)) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * frequency * rng.uniform(0.85, 1.15) * time)
    hit = click * rng.standard_normal(len(time)) * np.exp(-time / (decay / 6))
    return unit_peak(tone * np.exp(-time / decay) + hit)


def burst(rng, duration, low, high, tilt_db=0.0, attack=0.1):
    """Burst of band noise with a quick rise and a slow fall.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of the noise.
    duration : float
        In seconds.
    low : float
        Lower edge in Hz.
    high : float
        Upper edge in Hz.
    tilt_db : float
        Slope in dB per octave.
    attack : float
        Fraction of the duration until the maximum.

    Returns
    -------
    grain : numpy.ndarray
        Unit peak, shape [duration * SAMPLE_RATE].
    """
    n = _seconds(duration)
    place = (np.arange(n) + 0.5) / n
    rise = np.minimum(1.0, place / attack)
    fall = np.minimum(1.0, (1 - place) / (1 - attack))
    return unit_peak(noise(rng, n, tilt_db, low, high) * rise * fall**2)
