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
