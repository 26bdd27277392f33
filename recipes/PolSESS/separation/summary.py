"""From test_scores.csv to test_summary.csv: means of scores, with intervals.

Authors
 * The PolSESS recipe team 2026
"""

from pathlib import Path

import numpy as np
import pandas as pd
from metrics import SILENT_DB
from paths import replacing
from scipy import stats
from variants import VARIANTS, counts_in_means

LABELS = ("ID", "variant", "setting", "source")  # columns beside the scores
PARTS = ("failures", "mean", "median", "std", "ci_low", "ci_high")


def score_names(table):
    """Lists the scores in test_scores.csv, or in a table of ``describe``.

    Example
    -------
    >>> score_names(pd.DataFrame(columns=["n", "pesq_mean", "pesq_std"]))
    ['pesq']
    """
    if "n" in table:
        return [c[: -len("_mean")] for c in table if c.endswith("_mean")]
    return [c for c in table if c not in LABELS]


def variant_strata(scores):
    """Labels the stratum of each row in a macro mean: C by its setting.

    Takes a table with ``variant`` and ``setting``, returns a pd.Series.

    Example
    -------
    >>> scores = pd.DataFrame({"variant": ["S", "C"], "setting": "outdoor"})
    >>> list(variant_strata(scores))
    ['S', 'C outdoor']
    """
    is_clean = scores["variant"] == "C"
    return scores["variant"].where(~is_clean, "C " + scores["setting"])


def count_silent(rows):
    """Counts the rows of a silent estimate, which have the floor of SI-SDR.

    Example
    -------
    >>> count_silent(pd.DataFrame({"si_sdr": [-100.0, 3.0, np.nan]}))
    1
    """
    return int(rows.filter(["si_sdr"]).eq(SILENT_DB).to_numpy().sum())


def mean_interval(rows, column, strata=None):
    """Computes the mean of a score and its 95 % confidence interval.

    The variants and the sources of one mixture are not independent, so it is
    the mixtures that are the sample: each contributes the sum of its rows'
    shares of the mean. The interval is Student's t on these contributions;
    indoor and outdoor mixtures are separate samples (Welch).

    Arguments
    ---------
    rows : pd.DataFrame
        With ``ID``, ``setting`` and the column. NaN is left out.
    column : str
        The score.
    strata : pd.Series
        Label of each row's stratum, for the mean over strata of their means
        (macro mean). None for the mean of all rows.

    Returns
    -------
    mean, low, high : float
        NaN without a row; the interval also where a setting, or a stratum, has
        a single mixture.

    Example
    -------
    >>> rows = pd.DataFrame({"ID": list("abcd"), "setting": "indoor"})
    >>> rows["x"] = [1.0, 2, 3, 6]
    >>> [round(float(value), 2) for value in mean_interval(rows, "x")]
    [3.0, -0.44, 6.44]
    """
    strata = pd.Series("", rows.index) if strata is None else strata
    known = rows[column].notna()
    rows, strata = rows[known], strata[known]
    if rows.empty:
        return np.nan, np.nan, np.nan
    samples = _sums_and_numbers(rows, column, strata)
    sums, numbers = sum(sample.sum(-1) for sample in samples)
    mean = (sums / numbers).mean()
    # The linearised estimator of survey statistics: the distance of a mixture's
    # rows from the mean of their stratum, by its size and the number of strata.
    means, sizes = (sums / numbers)[:, None], numbers[:, None] * len(numbers)
    shares = [((s - means * n) / sizes).sum(0) for s, n in samples]
    counts = np.array([len(share) for share in shares])
    mixtures = sum((sample[1] > 0).sum(-1) for sample in samples)
    if min(counts.min(), mixtures.min()) < 2:
        return mean, np.nan, np.nan
    variances = np.array([share.var(ddof=1) for share in shares]) * counts
    if variances.sum() == 0:
        return mean, mean, mean
    freedom = variances.sum() ** 2 / (variances**2 / (counts - 1)).sum()
    half_width = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
    return mean, mean - half_width, mean + half_width


def _sums_and_numbers(rows, column, strata):
    """Adds up the rows of each mixture, [2, stratum, mixture] a setting."""
    stratum, names = pd.factorize(strata, sort=True)
    samples = []
    for _, part in rows.assign(stratum=stratum).groupby("setting"):
        mixture, ids = pd.factorize(part["ID"], sort=True)
        sample = np.zeros((2, len(names), len(ids)))
        place = part["stratum"].to_numpy(), mixture
        np.add.at(sample[0], place, part[column].to_numpy())
        np.add.at(sample[1], place, 1)
        samples.append(sample)
    return samples


def describe(rows, columns, strata=None):
    """Computes number, failures, mean, median, deviation and interval.

    Arguments
    ---------
    rows : pd.DataFrame
        Rows of test_scores.csv.
    columns : list of str
        The scores.
    strata : pd.Series
        See ``mean_interval``; macro means of median and standard deviation too.

    Returns
    -------
    dict
        n (rows), mixtures, silent (see ``count_silent``), and
        ``<score>_<part>`` for each of PARTS; NaN where it is not defined.
    """
    one = pd.Series("", rows.index) if strata is None else strata
    groups = rows[columns].groupby(one)
    medians, deviations = groups.median().mean(), groups.std().mean()
    row = {"n": len(rows), "mixtures": rows["ID"].nunique()}
    row["silent"] = count_silent(rows)
    for column in columns:
        mean, low, high = mean_interval(rows, column, strata)
        failures = int(rows[column].isna().sum())
        values = failures, mean, medians[column], deviations[column], low, high
        row.update({f"{column}_{part}": v for part, v in zip(PARTS, values)})
    return row


def groups_of(scores, variants, task):
    """Yields the groups of rows that a table reports, in its order.

    ``macro mean`` is the mean over variants, ``micro mean`` that over rows,
    both of the variants that ``counts_in_means``.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    variants : list of str
        Those to be tested.
    task : str
        ES, EB or SB.

    Yields
    ------
    tuple
        Variant or kind of mean, setting (empty for all), rows (empty for a
        variant without a mixture), and for a macro mean ``variant_strata``.
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
    """Makes test_summary.csv: the columns of ``describe`` for each group.

    Takes the arguments of ``groups_of``, returns a pd.DataFrame. A variant
    without a mixture has n = 0.
    """
    # A sum depends on its order in the last digit, and the digits shown may too.
    scores = scores.sort_values(list(LABELS), ignore_index=True)
    columns = score_names(scores)
    return pd.DataFrame(
        {"variant": name, "setting": setting, **describe(rows, columns, strata)}
        for name, setting, rows, strata in groups_of(scores, variants, task)
    )


def validation_stats(rows):
    """Computes the figures of a validation from ``scoring.validation_rows``.

    Returns a dict: SI-SDRi, the macro mean in dB, with ci_low and ci_high; n,
    mixtures, failures; silent, the number of silent estimates, which count by
    their floor; the mean of each variant. Silent references are left out. SI-SDRi
    is NaN if another score is not finite, since a mean of fewer mixtures does not
    compare with other epochs.
    """
    rows = pd.DataFrame(rows)
    # A model that diverges gives infinities, too.
    finite = np.isfinite(rows["si_sdri"])
    rows["si_sdri"] = rows["si_sdri"].where(finite)
    strata = variant_strata(rows)
    mean, low, high = mean_interval(rows, "si_sdri", strata)
    is_complete = (finite | rows["silent"]).all()
    means = rows["si_sdri"].groupby(strata).mean().dropna()
    return {
        "SI-SDRi": float(mean) if is_complete else np.nan,
        "ci_low": float(low),
        "ci_high": float(high),
        "n": len(rows),
        "mixtures": rows["ID"].nunique(),
        "failures": int(rows["si_sdri"].isna().sum()),
        "silent": int(rows["is_floor"].sum()),
        **means.add_prefix("SI-SDRi ").to_dict(),
    }


def read_scores(path):
    """Reads test_scores.csv: IDs as text, an empty score as NaN."""
    # An ID may well be NA, or 007.
    return pd.read_csv(
        path, dtype={"ID": str}, keep_default_na=False, na_values=[""]
    )


def write_csv(table, path):
    """Writes a table, complete or not at all, in place of the file.

    Numbers have six decimals; NaN is an empty cell.
    """
    with replacing(path) as [new]:
        table.to_csv(new, index=False, float_format="%.6f", lineterminator="\n")


def write_summary(output_folder, variants, task):
    """Reads test_scores.csv and writes test_summary.csv into the same folder.

    Variants and task are those of ``groups_of``.
    """
    folder = Path(output_folder)
    scores = read_scores(folder / "test_scores.csv")
    summary = summarise(scores, variants, task)
    write_csv(summary, folder / "test_summary.csv")
