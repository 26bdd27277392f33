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
FULL_SCALE = 32767  # of 16 bits
BLOCK = 65536  # samples


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
        What all of them were multiplied by; 1.0 where nothing clips.

    Example
    -------
    >>> signals = {"mixture": np.array([0.5, -2.0]), "estimate": np.ones(2)}
    >>> without_clipping(signals)
    ({'mixture': array([ 0.25, -1.  ]), 'estimate': array([0.5, 0.5])}, 0.5)
    """
    peak = max(float(np.abs(values).max()) for values in signals.values())
    factor = 1 / max(1.0, peak)
    return {name: factor * values for name, values in signals.items()}, factor


def sound(values, sample_rate, compressed=False):
    """A 16-bit WAV file of a signal, or an Ogg Vorbis file of a tenth of that.

    Arguments
    ---------
    values : np.ndarray
        Within -1 and 1, [time].
    sample_rate : int
        In Hz.
    compressed : bool
        Whether to take Ogg Vorbis, which loses what is hardly heard.

    Returns
    -------
    str
        A data URI; the length is kept in both formats.
    """
    samples = np.round(FULL_SCALE * values).astype(np.int16)
    file = io.BytesIO()
    kind = ("OGG", "VORBIS") if compressed else ("WAV", "PCM_16")
    with soundfile.SoundFile(
        file, "w", sample_rate, 1, format=kind[0], subtype=kind[1]
    ) as writer:
        # In parts, since libsndfile cannot encode hours of Vorbis at once.
        for start in range(0, len(samples), BLOCK):
            writer.write(samples[start : start + BLOCK])
    return _uri(f"audio/{kind[0].lower()}", file.getvalue())


def spectrograms(signals, sample_rate):
    """Spectrograms of one example; they share one scale of RANGE_DB.

    Arguments
    ---------
    signals : dict
        Name to signal, [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    dict
        Name to data URI of a PNG without axes: time runs from 0 to the
        signal's end, frequency from 0 Hz at the bottom to half the sample rate.
    """
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
    """The colours of a spectrogram, from the quietest to the loudest.

    Returns
    -------
    str
        The colour stops of a CSS gradient.
    """
    colors = matplotlib.colormaps[MAP](np.linspace(0, 1, 9), bytes=True)
    return ", ".join(f"rgb({r}, {g}, {b})" for r, g, b, _ in colors.tolist())


def prepare(example, sample_rate, compressed=False):
    """Sound, spectrograms and their axes, as the template takes them.

    Arguments
    ---------
    example : Example
        See page.py.
    sample_rate : int
        In Hz.
    compressed : bool
        See ``sound``.

    Returns
    -------
    dict
        example, factor, kilohertz (ticks) and signals.
    """
    signals, factor = without_clipping(example.signals)
    pictures = spectrograms(signals, sample_rate)
    return {
        "example": example,
        "factor": factor,
        "kilohertz": _ticks(sample_rate / 2000),
        "signals": [
            {
                "name": name,
                "seconds": len(values) / sample_rate,
                "ticks": _ticks(len(values) / sample_rate),
                "sound": sound(values, sample_rate, compressed),
                "picture": pictures[name],
            }
            for name, values in signals.items()
        ],
    }


def _ticks(limit):
    """Round numbers from 0 to limit, each with its place in per cent."""
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, limit)
    return [(f"{t:g}", 100 * t / limit) for t in ticks if 0 <= t <= limit]
