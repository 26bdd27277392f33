"""Procedural sound events: one grain, repeated with pauses, for each class.

The classes are labels of ESC-50 and FSD50K that the published table of event
classes knows, so that every scene class has several compatible ones.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np

from simulate.grains import GRAINS
from simulate.sounds import SAMPLE_RATE, add_at

# Event class -> (name of its grain, shortest and longest pause in seconds).
EVENTS = {
    "Bell": ("bell", 0.3, 1.5),
    "Coin_(dropping)": ("coin", 0.4, 1.5),
    "Dog": ("dog", 0.3, 1.5),
    "Finger_snapping": ("snap", 0.3, 0.9),
    "Glass": ("glass", 0.2, 1.5),
    "Glockenspiel": ("bars", 0.1, 1.0),
    "Hammer": ("hammer", 0.3, 0.7),
    "Keys_jangling": ("keys", 0.1, 1.0),
    "Knock": ("knock", 0.4, 1.5),
    "Ringtone": ("ring", 0.5, 1.0),
    "Squeak": ("squeak", 0.2, 1.5),
    "Thunder": ("thunder", 0.2, 1.5),
    "car_horn": ("horn", 0.3, 1.5),
    "chirping_birds": ("bird", 0.2, 1.2),
    "clapping": ("clap", 0.1, 0.4),
    "clock_tick": ("tick", 0.3, 0.4),
    "crickets": ("cricket", 0.1, 0.5),
    "footsteps": ("step", 0.3, 0.6),
    "keyboard_typing": ("key_press", 0.03, 0.4),
    "siren": ("siren", 0.0, 0.2),
    "water_drops": ("drop", 0.1, 0.8),
}

EVENT_RMS = 0.02  # mean over recordings, which vary by EVENT_SPREAD_DB
EVENT_SPREAD_DB = 3.0
EVENT_PEAK = (0.1, 0.5)


def make_event(rng, event_class, duration_seconds, segment_seconds):
    """Makes a recording of repeated events with pauses between them.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of all that differs between recordings of a class.
    event_class : str
        A key of EVENTS.
    duration_seconds : float
        Length of the recording.
    segment_seconds : float
        No pause is longer than 0.4 of it, so that every segment of this
        length contains sound.

    Returns
    -------
    signal : numpy.ndarray
        Peak within EVENT_PEAK, shape [time] at SAMPLE_RATE.

    Example
    -------
    >>> make_event(np.random.default_rng(0), "Knock", 2.0, 1.0).shape
    (32000,)
    """
    name, shortest, longest = EVENTS[event_class]
    longest = min(longest, 0.4 * segment_seconds)
    shortest = min(shortest, longest)
    signal = np.zeros(round(duration_seconds * SAMPLE_RATE))
    place = round(rng.uniform(0, longest) * SAMPLE_RATE)
    while place < len(signal):
        grain = GRAINS[name](rng) * 10 ** (rng.normal(0, 2.0) / 20)
        add_at(signal, place, grain)
        pause = rng.uniform(shortest, longest)
        place += len(grain) + round(pause * SAMPLE_RATE)
    level = EVENT_RMS * 10 ** (rng.normal(0, EVENT_SPREAD_DB) / 20)
    signal *= level / np.sqrt(np.mean(np.square(signal)))
    peak = np.abs(signal).max()
    return signal * np.clip(peak, *EVENT_PEAK) / peak
