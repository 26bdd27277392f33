"""Short sounds with a name: birds, steps, dishes, keys, signals.

Each function of GRAINS makes one sound of unit peak from a random generator
alone; scenes scatter them in the background, events repeat them in front.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np

from simulate.sounds import SAMPLE_RATE, add_at, series
from simulate.tones import burst, ping, sweep, thud


def _bird(rng):
    """A short series of bird chirps."""
    low = rng.uniform(1800, 3000)
    return series(
        [
            sweep(
                rng, low, low * rng.uniform(0.7, 1.5), rng.uniform(0.05, 0.15)
            )
            for _ in range(rng.integers(2, 7))
        ],
        gap=0.05,
    )


def _gull(rng):
    """A falling cry of a gull."""
    return sweep(rng, 1500, 900, rng.uniform(0.3, 0.6), 4, 0.05, 9.0)


def _cricket(rng):
    """A trill of three to five pulses."""
    pulses = [sweep(rng, 3100, 3000, 0.02) for _ in range(rng.integers(3, 6))]
    return series(pulses, gap=0.02)


def _dog(rng):
    """One to three barks."""
    pitch = rng.uniform(300, 550)
    barks = []
    for _ in range(rng.integers(1, 4)):
        bark = sweep(rng, pitch * 1.4, pitch * 0.7, 0.16, 6)
        barks.append(bark + 0.4 * burst(rng, 0.16, 400, 2500)[: len(bark)])
    return series(barks, gap=0.18)


def _step(rng):
    """A footstep: heel, then sole."""
    heel = thud(rng, rng.uniform(90, 180), 0.03, 0.6)
    return series([heel, 0.4 * burst(rng, 0.06, 500, 4000)], gap=-0.08)


def _dish(rng):
    """A clink of china."""
    return ping(rng, 1400, 2800, 5, rng.uniform(0.03, 0.12))


def _glass(rng):
    """Glass struck, with a long ring."""
    return ping(rng, 1100, 2200, 4, rng.uniform(0.15, 0.4), 2.3)


def _coin(rng):
    """A coin that bounces ever faster."""
    gap, coins = rng.uniform(0.15, 0.25), []
    while gap > 0.02:
        coins.append(gap * np.pad(ping(rng, 2300, 3300, 3, 0.03), (0, 1)))
        coins.append(np.zeros(round(gap * SAMPLE_RATE)))
        gap *= 0.72
    return series(coins, gap=-0.02)


def _keys(rng):
    """A jingle of keys."""
    pings = [ping(rng, 1900, 3600, 4, 0.04) for _ in range(rng.integers(6, 15))]
    return series(pings, gap=-0.15 - 0.02 * rng.random())


def _key_press(rng):
    """A key of a keyboard."""
    press = burst(rng, 0.012, 1500, 6000, 0.0, 0.05)
    return series([press, 0.5 * burst(rng, 0.02, 800, 3000)], gap=0.04)


def _knock(rng):
    """Two to four knocks on wood."""
    knocks = [thud(rng, 220, 0.035, 0.5) for _ in range(rng.integers(2, 5))]
    return series(knocks, gap=0.0)


def _hammer(rng):
    """A stroke of a hammer."""
    stroke = thud(rng, 350, 0.05, 1.0)
    add_at(stroke, 0, 0.7 * ping(rng, 900, 1800, 5, 0.06))
    return stroke / np.abs(stroke).max()


def _snap(rng):
    """A snap of the fingers."""
    return burst(rng, 0.05, 1200, 4000, -1.0, 0.03)


def _clap(rng):
    """A clap of the hands."""
    return burst(rng, rng.uniform(0.04, 0.08), 700, 3500, -2.0, 0.03)


def _bell(rng):
    """A bell stroke."""
    return ping(rng, 450, 900, 6, rng.uniform(0.25, 0.5), 1.51)


def _bars(rng):
    """A short run on a glockenspiel."""
    notes = rng.choice([1047, 1175, 1319, 1568, 1760], rng.integers(2, 6))
    return series(
        [ping(rng, note, note * 1.01, 2, 0.12, 2.76) for note in notes],
        gap=-0.35,
    )


def _ring(rng):
    """Two rings of a telephone."""
    low, high = rng.uniform(650, 900), rng.uniform(1000, 1400)
    tones = [sweep(rng, pitch, pitch, 0.04, 3) for pitch in (low, high)]
    return series(tones * 9 + [np.zeros(3200)] + tones * 9, gap=0.0)


def _chime(rng):
    """Two tones before an announcement."""
    high = rng.uniform(600, 750)
    return series(
        [
            ping(rng, tone, tone * 1.01, 3, 0.3, 2.0)
            for tone in (high, high * 0.8)
        ],
        gap=-1.1,
    )


def _tick(rng):
    """Tick and tock of a clock."""
    tick = ping(rng, 1800, 2400, 3, 0.012)
    return series([tick, np.zeros(6400), ping(rng, 1400, 1700, 3, 0.012)], 0.0)


def _drop(rng):
    """A drop of water."""
    start = rng.uniform(700, 1400)
    return sweep(rng, start, start * rng.uniform(1.5, 2.2), 0.05)


def _horn(rng):
    """A car horn."""
    duration = rng.uniform(0.25, 0.8)
    low = sweep(rng, 400, 400, duration, 6)
    return 0.5 * low + 0.5 * sweep(rng, 500, 500, duration, 6)


def _siren(rng):
    """A wail of a siren."""
    wail = [sweep(rng, 650, 1300, 0.7, 3), sweep(rng, 1300, 650, 0.7, 3)]
    return series(wail, gap=-0.03)


def _squeak(rng):
    """A squeak of hinges or brakes."""
    start = rng.uniform(900, 1900)
    stop = start * rng.uniform(0.8, 1.4)
    return sweep(rng, start, stop, rng.uniform(0.15, 0.5), 4, 0.03, 45.0)


def _thunder(rng):
    """A roll of thunder."""
    roll = np.zeros(round(2.5 * SAMPLE_RATE))
    for _ in range(rng.integers(4, 9)):
        clap = burst(rng, rng.uniform(0.5, 1.5), 40, 400, -4.0, 0.1)
        add_at(roll, int(rng.integers(SAMPLE_RATE)), rng.uniform(0.3, 1) * clap)
    return roll / np.abs(roll).max()


def _page(rng):
    """A page turned."""
    return burst(rng, rng.uniform(0.15, 0.4), 900, 6000, -1.0, 0.4)


def _beep(rng):
    """A beep of a till."""
    pitch = rng.uniform(1200, 1900)
    return sweep(rng, pitch, pitch, 0.12, 2)


def _rail_joint(rng):
    """A wheel over a rail joint."""
    return thud(rng, rng.uniform(70, 140), 0.06, 0.5)


def _door(rng):
    """A door that closes."""
    return thud(rng, rng.uniform(70, 110), 0.12, 0.8)


GRAINS = {
    "bird": _bird,
    "gull": _gull,
    "cricket": _cricket,
    "dog": _dog,
    "step": _step,
    "dish": _dish,
    "glass": _glass,
    "coin": _coin,
    "keys": _keys,
    "key_press": _key_press,
    "knock": _knock,
    "hammer": _hammer,
    "snap": _snap,
    "clap": _clap,
    "bell": _bell,
    "bars": _bars,
    "ring": _ring,
    "chime": _chime,
    "tick": _tick,
    "drop": _drop,
    "horn": _horn,
    "siren": _siren,
    "squeak": _squeak,
    "thunder": _thunder,
    "page": _page,
    "beep": _beep,
    "rail_joint": _rail_joint,
    "door": _door,
}
