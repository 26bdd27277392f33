"""Sound and spectrograms of an example, as data URIs for report.html.

Authors
 * The PolSESS recipe team 2026
"""

import base64
import io

import numpy as np
import soundfile
from scipy.signal import spectrogram

try:
    import matplotlib
    from matplotlib.ticker import MaxNLocator
    from PIL import Image
except ImportError as error:
    raise ImportError(
        "the spectrograms of report.html need matplotlib: "
        "pip install matplotlib"
    ) from error

RANGE_DB = 70
MAX_PIXELS = (128, 320)  # frequency, time
COLORS = 64
MAP = "magma"  # the brighter the louder, in print and for the colour-blind too


def _uri(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def without_clipping(signals):
    """Scales signals down together where one of them has a peak above 1.

    Arguments
    ---------
    signals : dict
        Name to signal, [time].

    Returns
    -------
    signals : dict
        With a peak of at most 1.
    factor : float
        The common factor of all signals; 1.0 where nothing clips.

    Example
    -------
    >>> signals = {"mixture": np.array([0.5, -2.0]), "estimate": np.ones(2)}
    >>> without_clipping(signals)
    ({'mixture': array([ 0.25, -1.  ]), 'estimate': array([0.5, 0.5])}, 0.5)
    """
    peak = max(float(np.abs(values).max()) for values in signals.values())
    factor = 1 / max(1.0, peak)
    return {name: factor * values for name, values in signals.items()}, factor


def prepare(example):
    """Makes sound, spectrograms and their axes, as the template takes them.

    Arguments
    ---------
    example : page.Example
        The signals of a mixture, with labels and scores.

    Returns
    -------
    dict
        example, factor (see ``without_clipping``), kilohertz (ticks) and
        signals, each with name, seconds, ticks, sound and picture.
    """
    sample_rate = example.sample_rate
    signals, factor = without_clipping(example.signals)
    pictures = _spectrograms(signals, sample_rate)
    return {
        "example": example,
        "factor": factor,
        "kilohertz": _ticks(sample_rate / 2000),
        "signals": [
            {
                "name": name,
                "seconds": len(values) / sample_rate,
                "ticks": _ticks(len(values) / sample_rate),
                "sound": _sound(values, sample_rate),
                "picture": pictures[name],
            }
            for name, values in signals.items()
        ],
    }


def _sound(values, sample_rate):
    """A 16-bit WAV file of a signal within -1 and 1."""
    samples = np.round(32767 * values).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="WAV")
    return _uri("audio/wav", file.getvalue())


def _ticks(limit):
    """Round numbers from 0 to limit, each with its place in per cent."""
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, limit)
    return [(f"{t:g}", 100 * t / limit) for t in ticks if 0 <= t <= limit]


def _spectrograms(signals, sample_rate):
    """PNGs without axes, frequency upwards, on one scale of RANGE_DB."""
    window = max(16, round(0.032 * sample_rate))
    levels = {}
    for name, values in signals.items():
        values = np.pad(values, (0, max(0, window - len(values))))
        power = spectrogram(
            values, nperseg=window, noverlap=window - window // 4
        )[2]
        # The loudest point of what one pixel covers
        for axis, limit in enumerate(MAX_PIXELS):
            size = power.shape[axis]
            starts = np.linspace(0, size, min(size, limit) + 1).astype(int)
            power = np.maximum.reduceat(power, starts[:-1], axis=axis)
        levels[name] = 10 * np.log10(power + 1e-20)
    top = max([-100.0, *(level.max() for level in levels.values())])
    return {name: _png(level - top) for name, level in levels.items()}


def _png(level):
    shades = np.clip(COLORS * (1 + level / RANGE_DB), 0, COLORS - 1)
    image = Image.fromarray(np.flipud(shades).astype(np.uint8)).convert("P")
    colors = matplotlib.colormaps[MAP](np.linspace(0, 1, COLORS), bytes=True)
    image.putpalette(colors[:, :3].tobytes())
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return _uri("image/png", file.getvalue())


def legend():
    """Lists colour stops of a CSS gradient, from the quietest to the loudest."""
    colors = matplotlib.colormaps[MAP](np.linspace(0, 1, 9), bytes=True)
    return ", ".join(f"rgb({r}, {g}, {b})" for r, g, b, _ in colors.tolist())
