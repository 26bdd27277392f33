# ======== tables
"""Tables of a test: a row per variant and the means, with intervals.

Authors
 * The PolSESS recipe team 2026
"""

import re

import numpy as np
import pandas as pd
from summary import mean_intervals
from variants import VARIANTS, counts_in_means
from scoring import LABELS

PARTS = ("failures", "mean", "median", "std", "ci_low", "ci_high")
FEW = 10  # rows; a stratum with fewer is marked


def score_names(table):
    """The scores of which a table consists.

    Arguments
    ---------
    table : pd.DataFrame
        test_scores.csv, test_summary.csv or test_strata.csv.

    Returns
    -------
    list of str
        For instance si_sdr, si_sdr_mix, si_sdri, pesq, pesq_mix.

    Example
    -------
    >>> score_names(pd.DataFrame(columns=["n", "pesq_mean", "pesq_std"]))
    ['pesq']
    """
    if "n" in table:
        return [c[: -len("_mean")] for c in table if c.endswith("_mean")]
    return [c for c in table if c not in LABELS]


def describe(rows, columns, strata=None):
    """Number, failures, mean, median, deviation and interval of the scores.

    Arguments
    ---------
    rows : pd.DataFrame
        Of test_scores.csv.
    columns : list of str
        The scores.
    strata : pd.Series
        Each row's variant: mean, median and standard deviation are then the
        means over the variants (macro mean). None: those of all rows.

    Returns
    -------
    dict
        n (rows), mixtures, and of each score ``_`` and the PARTS; NaN if unknown.

    Example
    -------
    >>> rows = pd.DataFrame({"ID": ["a", "b"], "setting": "indoor"})
    >>> found = describe(rows.assign(x=[1.0, np.nan]), ["x"])
    >>> [float(found[key]) for key in ("n", "x_failures", "x_mean", "x_std")]
    [2.0, 1.0, 1.0, nan]
    """
    one = pd.Series("", rows.index) if strata is None else strata
    groups = rows[columns].groupby(one)
    found = mean_intervals(rows, columns, strata).assign(
        failures=rows[columns].isna().sum(),
        median=groups.median().mean(),
        std=groups.std().mean(),
    )
    row = {"n": len(rows), "mixtures": rows["ID"].nunique()}
    for column in columns:
        for part in PARTS:
            row[f"{column}_{part}"] = found.loc[column, part]
    return row


def variant_strata(scores):
    """The stratum of each row in a macro mean: C indoor and outdoor apart.

    Arguments
    ---------
    scores : pd.DataFrame
        With ``variant`` and ``setting``.

    Returns
    -------
    pd.Series
        For instance SER, SE, C indoor.

    Example
    -------
    >>> scores = pd.DataFrame(
    ...     {"variant": ["S", "C"], "setting": ["outdoor", "outdoor"]}
    ... )
    >>> list(variant_strata(scores))
    ['S', 'C outdoor']
    """
    return scores["variant"].where(
        scores["variant"] != "C", "C " + scores["setting"]
    )


def groups_of(scores, variants, task):
    """The groups of rows that a table reports, in its order.

    ``macro mean`` is the mean over variants, ``micro mean`` that over rows,
    both of the variants that ``counts_in_means``.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    variants : list of str
        Those that were to be tested.
    task : str
        ES, EB or SB.

    Yields
    ------
    name : str
        The variant, or what the mean is.
    setting : str
        indoor, outdoor, dry, or empty for all.
    rows : pd.DataFrame
        Empty for a variant without a mixture.
    strata : pd.Series
        For a macro mean the variants of the rows.
    """
    for variant in [v for v in VARIANTS if v in variants]:
        rows = scores[scores["variant"] == variant]
        for setting in sorted(rows["setting"].unique()) or [""]:
            yield variant, setting, rows[rows["setting"] == setting], None
    counted = scores.loc[[counts_in_means(v, task) for v in scores["variant"]]]
    settings = sorted(counted["setting"].unique())
    for setting in [*settings, ""]:
        rows = counted[counted["setting"] == setting] if setting else counted
        name = f"{setting} ".lstrip()
        yield f"{name}macro mean", setting, rows, variant_strata(rows)
        yield f"{name}micro mean", setting, rows, None


def summarise(scores, variants, task):
    """One row per variant and the means, indoor, outdoor and overall.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    variants : list of str
        Those to be tested; one without a mixture has n = 0.
    task : str
        ES, EB or SB.

    Returns
    -------
    pd.DataFrame
        Columns variant, setting and those of ``describe``.
    """
    columns = score_names(scores)
    return pd.DataFrame(
        {"variant": name, "setting": setting, **describe(rows, columns, strata)}
        for name, setting, rows, strata in groups_of(scores, variants, task)
    )


def cells(table, style):
    """The scores of a summary as text, to be read.

    Arguments
    ---------
    table : pd.DataFrame
        What ``summarise`` or ``strata.stratify`` returns.
    style : str
        "mean": with its interval (the mixture's without) and how many failed;
        "median": with the standard deviation.

    Returns
    -------
    pd.DataFrame
        The label columns, n, and a column for each score.

    Example
    -------
    >>> table = pd.DataFrame({"variant": ["S"], "n": [3], "pesq_failures": [1]})
    >>> table[["pesq_mean", "pesq_ci_low", "pesq_ci_high"]] = 1.5, 1, 2
    >>> cells(table, "mean").loc[0].tolist()
    ['S', '3', '1.50 [1.00, 2.00] (1 failed)']
    """
    labels = list(table.columns[: table.columns.get_loc("n")])
    text = table[labels].astype(str)
    text["n"] = table["n"].map(lambda n: str(n or "0 (no mixtures)"))
    if "few" in table:
        text["mixtures"] = table["mixtures"].astype(str)
        text.loc[table["few"], "n"] += " (few)"
    for name in score_names(table):
        text[name.replace("_", " ")] = [
            _cell(row, name, style) for row in table.to_dict("records")
        ]
    return text


def _cell(row, name, style):
    digits = 3 if "stoi" in name else 2

    def number(key):
        """A part of the score; adding 0 makes 0.00 of -0.00."""
        return f"{round(row[f'{name}_{key}'], digits) + 0.0:.{digits}f}"

    def known(key):
        """Whether that part is a number."""
        return np.isfinite(row[f"{name}_{key}"])

    text = number(style) if known(style) else "-"
    if style == "median" and known("std"):
        text += f" ({number('std')})"
    if style == "mean" and known("ci_low") and not name.endswith("_mix"):
        text += f" [{number('ci_low')}, {number('ci_high')}]"
    failures = row[f"{name}_failures"]
    return f"{text} ({failures} failed)" if failures else text


def to_markdown(text):
    """A Markdown table.

    Arguments
    ---------
    text : pd.DataFrame
        Of texts, as ``cells`` returns.

    Returns
    -------
    str
        Escaped where a character means something in Markdown.

    Example
    -------
    >>> print(to_markdown(pd.DataFrame({"n": ["3"]})), end="")
    | n |
    | --- |
    | 3 |
    """
    lines = [list(text), ["---"] * text.shape[1], *text.to_numpy().tolist()]
    lines = [[" ".join(cell.split()) for cell in line] for line in lines]
    lines = [
        [re.sub(r"[\\|<*`]", r"\\\g<0>", c) for c in line] for line in lines
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
# ======== intervals
"""Confidence intervals of means, by resampling mixtures.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
from scipy import stats

SEED = 0  # the same scores always give the same interval
RESAMPLES = 9999
FEW = 10  # mixtures


def mean_intervals(rows, columns, strata=None, confidence=0.95):
    """Means of scores over rows, with bootstrap confidence intervals.

    The variants and the sources of one mixture are not independent: mixtures
    are resampled, with all their rows, and not rows. Indoor and outdoor
    mixtures are separate samples. The interval is the BCa interval of B. Efron
    ("Better Bootstrap Confidence Intervals", JASA 1987), which corrects for
    skewness. For few mixtures it would be too short: its level is raised to
    that of Student's t (T. Hesterberg, "What Teachers Should Know About the
    Bootstrap", The American Statistician 2015). With fewer than 10 mixtures it
    is Student's interval itself.

    Arguments
    ---------
    rows : pd.DataFrame
        With ``ID``, ``setting`` and the columns. NaN is left out.
    columns : list of str
        The scores.
    strata : pd.Series
        Label of each row's stratum: the mean is then the mean over strata of
        the means within them (macro mean). None for the mean of all rows.
    confidence : float
        Level of the interval.

    Returns
    -------
    pd.DataFrame
        A row for each column with ``mean``, ``ci_low`` and ``ci_high``. The
        interval is NaN where a setting, or a stratum, has a single mixture.

    Example
    -------
    >>> rows = pd.DataFrame(
    ...     {"ID": list("abcd"), "setting": "indoor", "x": [1.0, 2, 3, 6]}
    ... )
    >>> mean_intervals(rows, ["x"]).round(2).loc["x"].tolist()
    [3.0, -0.44, 6.44]
    """
    columns = list(columns)
    known = rows[columns].notna().any(axis=1).to_numpy()
    rows, strata = rows[known], None if strata is None else strata[known]
    table = pd.DataFrame(
        np.nan, columns, ["mean", "ci_low", "ci_high"], dtype=float
    )
    if rows.empty:
        return table
    samples = _samples(rows, columns, strata)
    totals = sum(sample.sum(-1) for sample in samples)
    table["mean"] = _means(totals, totals[1] > 0)
    if min(sample.shape[-1] for sample in samples) < 2:
        return table

    drawn = _resample(samples, totals[1] > 0)
    contributions = _contributions(samples)
    limits = [
        _limits(
            table["mean"].iloc[number],
            drawn[number],
            [part[number] for part in contributions],
            [sample[1, number] > 0 for sample in samples],
            confidence,
        )
        for number in range(len(columns))
    ]
    table[["ci_low", "ci_high"]] = limits
    return table


def _samples(rows, columns, strata):
    """For each setting sums and numbers, [2, column, stratum, mixture]."""
    labels = pd.Series("", rows.index) if strata is None else strata
    stratum, names = pd.factorize(labels, sort=True)
    samples = []
    for _, part in rows.assign(stratum=stratum).groupby("setting"):
        mixture, ids = pd.factorize(part["ID"], sort=True)
        sample = np.zeros((2, len(columns), len(names), len(ids)))
        values = part[columns].to_numpy(dtype=float)
        present = ~np.isnan(values)
        where = part["stratum"].to_numpy(), mixture
        for number in range(len(columns)):
            np.add.at(
                sample[0, number], where, np.nan_to_num(values[:, number])
            )
            np.add.at(sample[1, number], where, present[:, number])
        samples.append(sample)
    return samples


def _resample(samples, expected):
    """Means of resampled mixtures, [column, resample]; see _means."""

    def means(*indices, axis=-1):
        """Means of resampled mixtures, [column, resample]."""
        resampled = sum(
            sample @ _counts(index, sample.shape[-1])
            for sample, index in zip(samples, indices)
        )
        return _means(resampled, expected)

    return stats.bootstrap(
        [np.arange(sample.shape[-1]) for sample in samples],
        means,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 10**7 // max(sample.shape[-1] for sample in samples)),
        method="percentile",
        rng=SEED,
    ).bootstrap_distribution


def _counts(index, mixtures):
    """How often each resample has each mixture, [mixture, resample]."""
    index = np.atleast_2d(index)
    shifted = index + mixtures * np.arange(len(index))[:, None]
    counts = np.bincount(shifted.ravel(), minlength=mixtures * len(index))
    return counts.reshape(len(index), mixtures).T.astype(float)


def _means(totals, expected):
    """Mean over strata of sum by number, [2, column, stratum, ...].

    NaN where an expected stratum, [column, stratum], has no row: without it the
    mean over the strata would be one of something else.
    """
    sums, numbers = totals
    present = numbers > 0
    means = np.divide(sums, numbers, out=np.zeros_like(sums), where=present)
    wanted = expected.sum(1).reshape(-1, *[1] * (sums.ndim - 2))
    complete = (present.sum(1) == wanted) & (wanted > 0)
    return np.divide(
        means.sum(1),
        wanted,
        out=np.full(complete.shape, np.nan),
        where=complete,
    )


def _contributions(samples):
    """What each mixture adds to the means, [column, mixture] a setting.

    The linearised estimator of survey statistics: how far the sum of a mixture
    is from what its number of rows lets expect, by the size of the stratum.
    """
    sums, numbers = sum(sample.sum(-1) for sample in samples)
    sizes = np.maximum(numbers, 1)
    strata = np.maximum((numbers > 0).sum(1), 1)
    return [
        (
            (sample[0] - (sums / sizes)[..., None] * sample[1])
            / sizes[..., None]
        ).sum(1)
        / strata[:, None]
        for sample in samples
    ]


def _limits(mean, drawn, contributions, present, confidence):
    """The interval of one column, from its resampled means.

    The contributions are [mixture] for each setting; whether the column has
    rows of them, [stratum, mixture].
    """
    per_stratum = sum(mixtures.sum(-1) for mixtures in present)
    parts = [
        part[mixtures.any(0)]
        for part, mixtures in zip(contributions, present)
        if mixtures.any()
    ]
    counts = np.array([len(part) for part in parts])
    if not parts or min(counts.min(), per_stratum[per_stratum > 0].min()) < 2:
        return np.nan, np.nan
    # Resampling n mixtures sees (n - 1) / n of the variance. Settings have
    # variances of their own: degrees of freedom after Welch.
    squares = np.array([part.var() * len(part) for part in parts])
    variances = squares * counts / (counts - 1)
    if variances.sum() == 0:
        return mean, mean
    freedom = variances.sum() ** 2 / (variances**2 / (counts - 1)).sum()
    quantile = stats.t.ppf((1 + confidence) / 2, freedom)
    if counts.sum() < FEW:
        # So few have too few different resamples.
        half_width = quantile * np.sqrt(variances.sum())
        return mean - half_width, mean + half_width
    reach = quantile * np.sqrt(variances.sum() / squares.sum())
    levels = _levels(mean, drawn, np.concatenate(parts), reach)
    return tuple(np.nanquantile(drawn, levels))


def _levels(mean, drawn, contributions, reach):
    """Which percentiles of the resampled means bound the interval (BCa)."""
    below = np.clip(np.mean(drawn[~np.isnan(drawn)] < mean), 0.01, 0.99)
    bias = stats.norm.ppf(below)
    centred = contributions - contributions.mean()
    acceleration = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    shifted = bias + np.array([-reach, reach])
    return stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
# ======== validation
"""What a validation keeps, shows and logs.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
import torch
from summary import mean_intervals
from losses import pairwise_si_sdr
from variants import VARIANTS
from summary import variant_strata

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

FEW = 50  # mixtures; a mean over fewer is a poor guide to the best epoch


def validation_rows(batch, score):
    """The SI-SDRi of a batch.

    Arguments
    ---------
    batch : speechbrain.dataio.batch.PaddedBatch
        With mixture_id, variant, setting, mix_sig and sources_sig.
    score : torch.Tensor
        SI-SDR of the estimates in dB, [batch, source].

    Returns
    -------
    list of dict
        ID, variant, setting, si_sdri (dB) and silent of each source: against
        a silent reference no score is defined, and it is NaN.
    """
    mixture, lengths = batch.mix_sig
    reference, _ = batch.sources_sig
    baseline = pairwise_si_sdr(mixture.unsqueeze(-1), reference, lengths)
    silent = reference.abs().amax(1) == 0
    si_sdri = (score - baseline[:, 0]).masked_fill(silent, torch.nan)
    return [
        {
            "ID": batch.mixture_id[number],
            "variant": batch.variant[number],
            "setting": batch.setting[number],
            "si_sdri": value,
            "silent": is_silent,
        }
        for number, pairs in enumerate(
            zip(si_sdri.cpu().tolist(), silent.cpu().tolist())
        )
        for value, is_silent in zip(*pairs)
    ]


def in_order(scores):
    """The scores of a test, in an order that no number of processes changes.

    Arguments
    ---------
    scores : pd.DataFrame
        With ID, variant and source.

    Returns
    -------
    pd.DataFrame
        By ID, then as in VARIANTS, then by source.

    Example
    -------
    >>> scores = pd.DataFrame(
    ...     {"ID": ["b", "a"], "variant": "S", "source": "s1"}
    ... )
    >>> in_order(scores)["ID"].tolist()
    ['a', 'b']
    """
    if scores.empty:
        return scores
    order = scores["variant"].map(VARIANTS.index)
    return (
        scores.assign(order=order)
        .sort_values(["ID", "order", "source"], ignore_index=True)
        .drop(columns="order")
    )


def validation_stats(rows):
    """The figures of a validation.

    Arguments
    ---------
    rows : list of dict
        What ``validation_rows`` returned.

    Returns
    -------
    stats : dict
        SI-SDRi, the macro mean in dB, its interval, n and failures. The mean
        leaves silent references out; it is NaN if another score is not finite,
        since that of fewer mixtures does not compare with other epochs.
    by_variant : dict
        SI-SDRi/<variant> -> mean in dB.
    """
    rows = pd.DataFrame(rows)
    # A model that diverges gives infinities, too.
    finite = np.isfinite(rows["si_sdri"])
    rows["si_sdri"] = rows["si_sdri"].where(finite)
    strata = variant_strata(rows)
    interval = mean_intervals(rows, ["si_sdri"], strata).loc["si_sdri"]
    stats = {
        "SI-SDRi": float(interval["mean"])
        if (finite | rows["silent"]).all()
        else np.nan,
        "ci_low": float(interval["ci_low"]),
        "ci_high": float(interval["ci_high"]),
        "n": len(rows),
        "mixtures": rows["ID"].nunique(),
        "failures": int(rows["si_sdri"].isna().sum()),
    }
    means = rows.groupby(strata)["si_sdri"].mean().dropna()
    return stats, means.add_prefix("SI-SDRi/").to_dict()


def warn_of_few_mixtures(stats):
    """Says how well the mean of a small validation set is known.

    Arguments
    ---------
    stats : dict
        What ``validation_stats`` returned.

    Returns
    -------
    bool
        Whether there was something to say.
    """
    if stats["mixtures"] >= FEW:
        return False
    known = (
        f"is known to lie between {stats['ci_low']:.2f} and "
        f"{stats['ci_high']:.2f} dB (95 %), so the best epoch is partly chance"
    )
    if not np.isfinite(stats["ci_low"]):
        known = "says little, since some variant has a single mixture"
    count = stats["mixtures"]
    logger.warning(
        f"validation has only {count} mixture{'s' * (count != 1)}: its mean "
        f"SI-SDRi, {stats['SI-SDRi']:.2f} dB, {known}"
    )
    return True


def readable(stats):
    """Numbers as a person writes them, for the text log.

    Arguments
    ---------
    stats : dict
        Name -> number.

    Returns
    -------
    dict
        Floats as texts with two decimals.

    Example
    -------
    >>> readable({"n": 8, "loss": -12.345})
    {'n': 8, 'loss': '-12.35'}
    """
    return {
        name: f"{value:.2f}" if isinstance(value, float) else value
        for name, value in stats.items()
    }


def show_clips(boards, batch, cut, epoch):
    """Shows the utterances of a batch that the boards follow.

    Arguments
    ---------
    boards : boards.Boards
        Where to show them.
    batch : speechbrain.dataio.batch.PaddedBatch
        With mixture_id and variant.
    cut : callable
        () -> list of Utterance; called only if one is wanted.
    epoch : int
        Its number.
    """
    names = zip(batch.mixture_id, batch.variant)
    wanted = [boards.wants(*name, epoch) for name in names]
    if any(wanted):
        for utterance, is_wanted in zip(cut(), wanted):
            if is_wanted:
                boards.log_clip(utterance.labels, utterance.signals(), epoch)
