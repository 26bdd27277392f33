"""Plots of report.html: SVG as data URIs.

The colours are Okabe and Ito's, which the colour-blind can tell apart; a shape
or a word always says the same as a colour.

Authors
 * The PolSESS recipe team 2026
"""

import base64
import io

import numpy as np

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        "the plots of report.html need matplotlib: pip install matplotlib"
    ) from error

WIDTH = 4.8  # inch; narrow, so that the text stays readable on a phone
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#777777",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,
    "grid.color": "#e2e2e2",
    "legend.frameon": False,
    "svg.hashsalt": "PolSESS",  # the same figure gives the same bytes
    "xtick.color": "#333333",
    "ytick.color": "#333333",
}
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
LOOKS = {"indoor": (BLUE, "o"), "outdoor": (VERMILION, "^")}
MAX_POINTS = 150  # of a box; more rows are shown by their quantiles
MAX_STRATA = 40  # rows of a figure
IMPROVEMENT = "SI-SDRi in dB"


def _svg(draw, height, *arguments):
    """Draws on a new figure; whatever matplotlibrc says, it looks the same."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure, *arguments)
        file = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(
            file, format="svg", dpi=130, transparent=True, metadata=nothing
        )
    content = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/svg+xml;base64,{content}"


def _look(setting):
    return LOOKS.get(setting, (GREY, "s"))


def _name_rows(axes, names, counts):
    """Names the rows of a figure at their left, n at their right."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    place = {"transform": axes.get_yaxis_transform(), "color": "#555555"}
    for y, count in enumerate(counts):
        axes.text(1.02, y, f"n={count:,}", va="center", fontsize=9, **place)


def distribution(scores, groups):
    """SI-SDRi of every variant: box, points and mean.

    Arguments
    ---------
    scores : pd.DataFrame
        With variant, setting and si_sdri.
    groups : list of tuple
        (variant, setting) in the order to be shown; one may have no row.

    Returns
    -------
    str
        A data URI; None where no row has a number.
    """
    if not scores["si_sdri"].notna().any():
        return None
    return _svg(_distribution, 1.0 + 0.36 * len(groups), scores, groups)


def _distribution(figure, scores, groups):
    axes = figure.subplots()
    counts = []
    for y, (variant, setting) in enumerate(groups):
        rows = scores["variant"].eq(variant) & scores["setting"].eq(setting)
        values = scores.loc[rows, "si_sdri"].dropna().to_numpy()
        counts.append(len(values))
        if not len(values):
            why = "no score" if rows.any() else "no mixtures"
            middle = {"transform": axes.get_yaxis_transform(), "ha": "center"}
            axes.text(0.5, y, why, va="center", color="#666666", **middle)
            continue
        _box(axes, y, values, *_look(setting))
    names = [f"{variant} {setting}".strip() for variant, setting in groups]
    _name_rows(axes, names, counts)
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_xlabel(IMPROVEMENT)


def _box(axes, y, values, color, marker):
    low, first, median, third, high = np.quantile(
        values, [0.05, 0.25, 0.5, 0.75, 0.95]
    )
    points = values
    if len(values) > MAX_POINTS:
        points = np.quantile(values, np.linspace(0, 1, MAX_POINTS))
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(points))
    dots = {"s": 7, "alpha": 0.4, "linewidths": 0, "rasterized": True}
    axes.scatter(points, y + jitter, c=color, marker=marker, **dots)
    axes.plot([low, high], [y, y], color=color, linewidth=1.2)
    box = {"height": 0.56, "facecolor": color, "alpha": 0.28}
    axes.barh(y, third - first, left=first, **box)
    axes.plot([median] * 2, [y - 0.28, y + 0.28], color=color, linewidth=2.4)
    mean = {"markersize": 5.5, "markerfacecolor": "white", "zorder": 5}
    axes.plot(values.mean(), y, "D", color="black", **mean)


def improvement_against_input(scores):
    """SI-SDRi against the SI-SDR of the mixture, a point for each row.

    Arguments
    ---------
    scores : pd.DataFrame
        With setting, si_sdr_mix and si_sdri.

    Returns
    -------
    str
        A data URI; None where no row has both numbers.
    """
    rows = scores[["setting", "si_sdr_mix", "si_sdri"]].dropna()
    return _svg(_improvement_against_input, 4.0, rows) if len(rows) else None


def _improvement_against_input(figure, rows):
    axes = figure.subplots()
    # A thousand points are dots, a hundred thousand a cloud.
    share = min(1.0, (1000 / len(rows)) ** 0.5)
    for setting, part in rows.groupby("setting"):
        color, marker = _look(setting)
        x, y = part["si_sdr_mix"].to_numpy(), part["si_sdri"].to_numpy()
        dots = {"s": 16 * max(share, 0.2), "alpha": 0.6 * share}
        dots.update(linewidths=0, rasterized=True)
        axes.scatter(x, y, c=color, marker=marker, **dots)
        # Ten groups of equal size, of five rows at least
        groups = np.array_split(np.argsort(x), min(10, max(1, len(x) // 5)))
        middle = [[np.median(v[group]) for group in groups] for v in (x, y)]
        line = {"marker": marker, "markersize": 5, "label": setting}
        axes.plot(*middle, color=color, markeredgecolor="white", **line)
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xlabel("SI-SDR of the mixture in dB")
    axes.set_ylabel(IMPROVEMENT)
    axes.legend(title="lines: medians")


def learning_curves(curve):
    """Validation SI-SDRi with its interval, and training loss, over epochs.

    Arguments
    ---------
    curve : pd.DataFrame
        With epoch, and what is known of si_sdri, ci_low, ci_high, train_loss.

    Returns
    -------
    str
        A data URI; None without a number.
    """
    panels = [
        name
        for name in ("si_sdri", "train_loss")
        if name in curve and curve[name].notna().any()
    ]
    if not panels:
        return None
    return _svg(_learning_curves, 0.7 + 1.6 * len(panels), curve, panels)


def _learning_curves(figure, curve, panels):
    grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    epoch = curve["epoch"].to_numpy()
    for axes, name in zip(grid, panels):
        color = GREEN if name == "si_sdri" else GREY
        marker = "o" if len(curve) <= 40 else None
        axes.plot(epoch, curve[name], color=color, marker=marker, markersize=4)
        if name == "train_loss":
            axes.set_ylabel("training loss")
            continue
        axes.set_ylabel("validation\nSI-SDRi in dB")
        if "ci_low" in curve and "ci_high" in curve:
            band = {"color": color, "alpha": 0.2, "linewidth": 0}
            axes.fill_between(epoch, curve["ci_low"], curve["ci_high"], **band)
        best = curve.loc[curve[name].idxmax()]
        label = f"best: epoch {best['epoch']:g}"
        star = {"markersize": 14, "markeredgecolor": "white", "zorder": 5}
        axes.plot(
            best["epoch"], best[name], "*", color="black", label=label, **star
        )
        axes.legend(loc="lower right")
    grid[-1].xaxis.get_major_locator().set_params(integer=True)
    grid[-1].set_xlabel("epoch")


def strata(table):
    """Mean SI-SDRi with its interval for each value of one stratum.

    Arguments
    ---------
    table : pd.DataFrame
        With value, n, few, si_sdri_mean, si_sdri_ci_low, si_sdri_ci_high.

    Returns
    -------
    str
        A data URI; None without a number. Of more than MAX_STRATA values it
        shows the most frequent ones.
    """
    table = table[table["si_sdri_mean"].notna()]
    largest = table["n"].nlargest(MAX_STRATA).index
    table = table[table.index.isin(largest)]
    return _svg(_strata, 0.9 + 0.28 * len(table), table) if len(table) else None


def _strata(figure, table):
    axes = figure.subplots()
    for y, (_, row) in enumerate(table.iterrows()):
        interval = [row["si_sdri_ci_low"], row["si_sdri_ci_high"]]
        axes.plot(interval, [y, y], color=BLUE, linewidth=5, alpha=0.3)
        face = {"markerfacecolor": "white" if row["few"] else BLUE}
        axes.plot(row["si_sdri_mean"], y, "o", color=BLUE, **face)
    names = [str(v)[:28] + "…" * (len(str(v)) > 28) for v in table["value"]]
    _name_rows(axes, names, table["n"])
    axes.set_xlabel(f"mean {IMPROVEMENT}")
