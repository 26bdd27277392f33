"""Plots, spectrograms and sound of report.html, as data URIs.

The colours are Okabe and Ito's, which the colour-blind can tell apart; a shape
or a word always says the same as a colour.

Authors
 * The PolSESS recipe team 2026
"""

import base64
import io

import numpy as np
import soundfile
from metrics import SILENT_DB
from scipy.signal import spectrogram
from variants import VARIANTS

try:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.image import imsave
except ImportError as error:
    raise ImportError(
        "the plots of report.html need matplotlib: pip install matplotlib"
    ) from error

STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": "#e2e2e2",
    "savefig.transparent": True,
    "svg.hashsalt": "PolSESS",  # the same figure gives the same bytes
}
LOOKS = {"indoor": ("#0072B2", "o"), "outdoor": ("#D55E00", "^")}
OTHER_LOOK = ("#777777", "s")
RANGE_DB = 70  # of a spectrogram


def _uri(kind, file):
    content = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:{kind};base64,{content}"


def plots(scores, curve):
    """Draws the plots of a test.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    curve : pd.DataFrame
        The result of ``runs.read_curve``.

    Returns
    -------
    dict
        distribution (a box of SI-SDRi for each variant in each setting),
        scatter (SI-SDRi against the SI-SDR of the mixture) and curve (the
        validations and the training loss) as data URIs; None without a number.
    """
    order = scores["variant"].map(VARIANTS.index).rename("order")
    known = scores[scores["si_sdri"].notna()]
    boxes = list(known.groupby([order, "variant", "setting"])["si_sdri"])
    # The floor of silent estimates would flatten all other points.
    points = known[known["si_sdr"] > SILENT_DB].dropna(subset="si_sdr_mix")
    return {
        "distribution": _svg(_draw_boxes, boxes, 1 + 0.36 * len(boxes)),
        "scatter": _svg(_draw_points, points, 4.0),
        "curve": _svg(_draw_curve, curve, 3.2),
    }


def _svg(draw, content, height):
    """Draws on new axes; whatever matplotlibrc says, it looks the same."""
    if not len(content):
        return None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(4.8, height), layout="constrained")
        draw(figure.subplots(), content)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _uri("image/svg+xml", file)


def _draw_boxes(axes, boxes):
    looks = {"whis": (5, 95), "showfliers": False, "showmeans": True}
    values = [values for _, values in boxes]
    axes.boxplot(values, vert=False, widths=0.6, **looks)
    names = [f"{v} {s}, n={len(rows):,}" for (_, v, s), rows in boxes]
    axes.set_yticks(range(1, len(names) + 1), names)
    axes.invert_yaxis()
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_xlabel("SI-SDRi in dB")


def _draw_points(axes, points):
    for setting, part in points.groupby("setting"):
        color, marker = LOOKS.get(setting, OTHER_LOOK)
        part = part[["si_sdr_mix", "si_sdri"]]
        # Pixels: a hundred thousand points make no large file.
        dots = {"s": 8, "alpha": 0.4, "rasterized": True}
        axes.scatter(*part.to_numpy().T, c=color, marker=marker, **dots)
        tenths = np.ceil(10 * part["si_sdr_mix"].rank(pct=True))
        medians = part.groupby(tenths).median().to_numpy().T
        line = {"color": color, "marker": marker, "markeredgecolor": "white"}
        axes.plot(*medians, label=setting, **line)
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xlabel("SI-SDR of the mixture in dB")
    axes.set_ylabel("SI-SDRi in dB")
    axes.legend(title="lines: medians")


def _draw_curve(axes, curve):
    green = {"color": "#009E73", "data": curve}
    axes.fill_between("epoch", "ci_low", "ci_high", alpha=0.2, **green)
    axes.plot("epoch", "si_sdri", "o-", label="validation SI-SDRi", **green)
    grey = {"color": "#777777", "data": curve}
    axes.plot("epoch", "train_loss", "s--", label="training loss", **grey)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel("dB")
    axes.legend()


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


def sound_and_picture(signals, sample_rate):
    """Makes a WAV file and a spectrogram of each signal of an example.

    Arguments
    ---------
    signals : dict
        Name to signal, [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    dict
        factor (see ``without_clipping``), kilohertz (the highest frequency) and
        signals, each with name, seconds, sound and picture, whose colours have
        the same scale, of RANGE_DB.
    """
    signals, factor = without_clipping(signals)
    levels = {name: _level(s, sample_rate) for name, s in signals.items()}
    top = max(level.max() for level in levels.values())
    found = []
    for name, signal in signals.items():
        sound, picture = io.BytesIO(), io.BytesIO()
        soundfile.write(sound, signal, sample_rate, format="WAV")
        scale = {"vmin": top - RANGE_DB, "vmax": top, "cmap": "magma"}
        imsave(picture, levels[name], format="jpg", origin="lower", **scale)
        found.append(
            {
                "name": name,
                "seconds": len(signal) / sample_rate,
                "sound": _uri("audio/wav", sound),
                "picture": _uri("image/jpeg", picture),
            }
        )
    return {"factor": factor, "kilohertz": sample_rate / 2000, "signals": found}


def _level(signal, sample_rate):
    """Level in dB, [frequency, time], in windows of 32 ms or the signal."""
    window = min(len(signal), round(0.032 * sample_rate))
    power = spectrogram(signal, nperseg=window, noverlap=window // 2)[2]
    return 10 * np.log10(power + 1e-20)
