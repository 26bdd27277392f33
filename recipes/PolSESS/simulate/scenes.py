"""Procedural acoustic scenes: one recipe of layers for each scene class.

A layer is a level in dB, a function that fills a length, and its arguments.
Levels vary from recording to recording, as all that the layers draw does.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np

from simulate.layers import diffuse, hum, murmur, rails, scatter, swells
from simulate.sounds import SAMPLE_RATE, drift, noise

# Scene class -> layers (level in dB, function, arguments).
LAYERS = {
    "airport": (
        (0, noise, {"tilt_db": -4, "low": 60, "high": 2500}),
        (-2, murmur, {"talkers": 6}),
        (-8, scatter, {"rate": 0.15, "grain": "chime"}),
        (-8, scatter, {"rate": 3.0, "grain": "step"}),
    ),
    "bus": (
        (0, hum, {"base": 34, "count": 24, "tilt_db": -5}),
        (-3, noise, {"tilt_db": -6, "low": 30, "high": 900}),
        (-12, scatter, {"rate": 2.0, "grain": "door"}),
        (-10, murmur, {"talkers": 2}),
    ),
    "train": (
        (-2, noise, {"tilt_db": -5, "low": 50, "high": 1500}),
        (0, rails, {"period": 1.1, "grain": "rail_joint"}),
        (-9, hum, {"base": 100, "count": 10, "wander": 0.002}),
        (-11, murmur, {"talkers": 2}),
    ),
    "tram": (
        (0, hum, {"base": 190, "count": 12, "tilt_db": -4, "wander": 0.15}),
        (-2, noise, {"tilt_db": -4, "low": 80, "high": 2500}),
        (-3, rails, {"period": 0.7, "grain": "rail_joint"}),
        (-9, scatter, {"rate": 0.4, "grain": "squeak"}),
    ),
    "car": (
        (0, noise, {"tilt_db": -8, "low": 30, "high": 500}),
        (-5, hum, {"base": 55, "count": 16, "tilt_db": -6, "wander": 0.05}),
        (-14, noise, {"tilt_db": -2, "low": 500, "high": 4000}),
    ),
    "metro": (
        (0, noise, {"tilt_db": -3, "low": 120, "high": 3000}),
        (-3, rails, {"period": 0.5, "grain": "rail_joint"}),
        (-5, hum, {"base": 310, "count": 8, "tilt_db": -4, "wander": 0.2}),
        (-10, scatter, {"rate": 0.5, "grain": "squeak"}),
    ),
    "metro_station": (
        (0, swells, {"period": 9.0, "tilt_db": -4, "low": 60, "high": 2500}),
        (-3, murmur, {"talkers": 4}),
        (-5, scatter, {"rate": 4.0, "grain": "step"}),
        (-9, scatter, {"rate": 0.12, "grain": "chime"}),
    ),
    "cafe/restaurant": (
        (0, murmur, {"talkers": 8}),
        (-4, scatter, {"rate": 3.0, "grain": "dish"}),
        (-9, noise, {"tilt_db": -4, "low": 80, "high": 4000}),
        (-12, scatter, {"rate": 0.4, "grain": "glass"}),
    ),
    "grocery_store": (
        (0, hum, {"base": 100, "count": 12, "tilt_db": -5, "wander": 0.001}),
        (-1, noise, {"tilt_db": -3, "low": 100, "high": 4000}),
        (-3, scatter, {"rate": 0.9, "grain": "beep"}),
        (-5, murmur, {"talkers": 3}),
    ),
    "h": (
        (0, murmur, {"talkers": 12}),
        (-5, scatter, {"rate": 5.0, "grain": "dish"}),
        (-6, noise, {"tilt_db": -3, "low": 100, "high": 3000}),
    ),
    "m": (
        (0, murmur, {"talkers": 6}),
        (-6, scatter, {"rate": 1.5, "grain": "dish"}),
        (-3, noise, {"tilt_db": -5, "low": 60, "high": 2000}),
    ),
    "l": (
        (0, noise, {"tilt_db": -6, "low": 40, "high": 1500}),
        (-5, murmur, {"talkers": 3}),
        (-12, scatter, {"rate": 0.5, "grain": "door"}),
    ),
    "home": (
        (0, hum, {"base": 50, "count": 14, "tilt_db": -4, "wander": 0.001}),
        (-2, noise, {"tilt_db": -5, "low": 50, "high": 2000}),
        (-6, scatter, {"rate": 1.0, "grain": "tick"}),
        (-8, scatter, {"rate": 0.3, "grain": "dish"}),
    ),
    "library": (
        (0, noise, {"tilt_db": -4, "low": 90, "high": 2500}),
        (-6, scatter, {"rate": 0.6, "grain": "page"}),
        (-10, scatter, {"rate": 0.5, "grain": "step"}),
        (-14, murmur, {"talkers": 1}),
    ),
    "office": (
        (0, noise, {"tilt_db": -3, "low": 150, "high": 3500}),
        (-4, hum, {"base": 120, "count": 10, "tilt_db": -5, "wander": 0.001}),
        (-4, scatter, {"rate": 5.0, "grain": "key_press"}),
        (-9, murmur, {"talkers": 2}),
    ),
    "shopping_mall": (
        (0, murmur, {"talkers": 9}),
        (-2, noise, {"tilt_db": -4, "low": 60, "high": 2000}),
        (-5, scatter, {"rate": 5.0, "grain": "step"}),
        (-9, scatter, {"rate": 0.5, "grain": "bars"}),
    ),
    "beach": (
        (0, swells, {"period": 6.0, "tilt_db": -2, "low": 150, "high": 6000}),
        (-6, noise, {"tilt_db": -5, "low": 40, "high": 600}),
        (-9, scatter, {"rate": 0.4, "grain": "gull"}),
    ),
    "city_center": (
        (0, swells, {"period": 5.0, "tilt_db": -5, "low": 50, "high": 2000}),
        (-4, murmur, {"talkers": 4}),
        (-7, scatter, {"rate": 2.0, "grain": "step"}),
        (-10, scatter, {"rate": 0.15, "grain": "horn"}),
    ),
    "forest_path": (
        (0, swells, {"period": 4.0, "tilt_db": -2, "low": 300, "high": 5000}),
        (-3, scatter, {"rate": 1.2, "grain": "bird"}),
        (-9, scatter, {"rate": 1.5, "grain": "step"}),
    ),
    "park": (
        (0, swells, {"period": 7.0, "tilt_db": -4, "low": 100, "high": 3500}),
        (-2, scatter, {"rate": 0.7, "grain": "bird"}),
        (-5, murmur, {"talkers": 3}),
        (-10, scatter, {"rate": 0.15, "grain": "dog"}),
    ),
    "public_square": (
        (0, murmur, {"talkers": 7}),
        (-1, swells, {"period": 8.0, "tilt_db": -5, "low": 50, "high": 1200}),
        (-5, scatter, {"rate": 3.0, "grain": "step"}),
        (-8, scatter, {"rate": 0.2, "grain": "bell"}),
    ),
    "residential_area": (
        (0, noise, {"tilt_db": -6, "low": 40, "high": 1000}),
        (-3, scatter, {"rate": 0.4, "grain": "bird"}),
        (-5, swells, {"period": 9.0, "tilt_db": -4, "low": 80, "high": 2500}),
        (-8, scatter, {"rate": 0.2, "grain": "dog"}),
    ),
    "street_pedestrian": (
        (0, scatter, {"rate": 6.0, "grain": "step"}),
        (-1, murmur, {"talkers": 5}),
        (-2, noise, {"tilt_db": -5, "low": 50, "high": 1800}),
    ),
    "street_traffic": (
        (0, swells, {"period": 3.5, "tilt_db": -4, "low": 60, "high": 3500}),
        (-3, hum, {"base": 48, "count": 20, "tilt_db": -5, "wander": 0.1}),
        (-9, scatter, {"rate": 0.2, "grain": "horn"}),
    ),
}

# Scenes whose sounds come from all sides of a large space: seconds.
_SPACIOUS = {
    "airport": 0.5,
    "metro_station": 0.5,
    "shopping_mall": 0.4,
    "h": 0.2,
    "m": 0.15,
    "grocery_store": 0.15,
}

SCENE_RMS = 0.05


def make_scene(rng, scene_class, duration_seconds):
    """Makes a recording of a scene.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of all that differs between recordings of a class.
    scene_class : str
        A key of LAYERS.
    duration_seconds : float
        Length of the recording.

    Returns
    -------
    signal : numpy.ndarray
        RMS SCENE_RMS or a little less, shape [time] at SAMPLE_RATE.

    Example
    -------
    >>> make_scene(np.random.default_rng(0), "beach", 0.5).shape
    (8000,)
    """
    n = round(duration_seconds * SAMPLE_RATE)
    signal = np.zeros(n)
    for level_db, layer, arguments in LAYERS[scene_class]:
        gain = 10 ** ((level_db + rng.normal(0, 2.0)) / 20)
        signal += gain * layer(rng, n, **arguments)
    signal *= drift(rng, n, 0.3, 1.0)
    if scene_class in _SPACIOUS:
        signal = diffuse(rng, signal, _SPACIOUS[scene_class])
    signal *= SCENE_RMS / np.sqrt(np.mean(np.square(signal)))
    return signal * min(1.0, 0.9 / np.abs(signal).max())
