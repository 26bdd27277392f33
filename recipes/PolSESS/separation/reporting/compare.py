"""Paired comparison of runs that were tested on the same mixtures.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
from scipy import stats
from summary import LABELS, count_silent, groups_of, mean_interval, score_names

from reporting.runs import task_of
from reporting.tables import number

SAME_DB = 0.01  # by how much the input SI-SDR of the same signals may differ


def compare(runs):
    """Compares the scores of runs with those of the first run.

    Differences are paired: computed row by row, then averaged, with the 95 %
    interval of ``summary.mean_interval``. The test is Wilcoxon's signed-rank
    test on what each mixture contributes to the mean difference, not corrected
    for the number of rows of the table. Raises ValueError when the runs do not
    have the same test rows.

    Arguments
    ---------
    runs : dict
        Name -> scores as ``runs.read_scores`` returns them; two or more.

    Returns
    -------
    pd.DataFrame
        Columns run, variant, setting, score, n (rows in which both runs have
        the score), left_out (the others), mixtures, mean_first, mean,
        difference, ci_low, ci_high, p_value; silent_first and silent, rows of
        a silent estimate in each of the runs.
    """
    (first_name, first), *others = runs.items()
    table = []
    for name, scores in others:
        _check_same_rows(first_name, first, name, scores)
        groups = groups_of(first, first["variant"].unique(), task_of(first))
        for variant, setting, rows, strata in groups:
            labels = {"run": name, "variant": variant, "setting": setting}
            silent = {
                "silent_first": count_silent(rows),
                "silent": count_silent(scores.loc[rows.index]),
            }
            for column in score_names(first):
                if column not in scores or column.endswith("_mix"):
                    continue
                # Without what the subtraction of decimal fractions adds
                difference = (scores[column] - first[column]).round(9)
                pairs = rows.assign(difference=difference)
                line = _difference(pairs, column, strata)
                table.append({**labels, "score": column, **line, **silent})
    return pd.DataFrame(table)


def _difference(pairs, column, strata):
    """A line of the comparison: a score in some rows."""
    used = pairs[pairs["difference"].notna()]
    strata = pd.Series("", used.index) if strata is None else strata[used.index]
    difference, low, high = mean_interval(used, "difference", strata)
    mean_first = mean_interval(used, column, strata)[0]
    sizes = strata.groupby(strata).transform("size")
    contributions = (used["difference"] / sizes).groupby(used["ID"]).sum()
    p_value = np.nan
    if len(contributions) > 1:
        changed = contributions.any()  # without a change there are no ranks
        p_value = stats.wilcoxon(contributions).pvalue if changed else 1.0
    return {
        "n": len(used),
        "left_out": len(pairs) - len(used),
        "mixtures": len(contributions),
        "mean_first": mean_first,
        "mean": mean_first + difference,
        "difference": difference,
        "ci_low": low,
        "ci_high": high,
        "p_value": p_value,
    }


def _check_same_rows(a, first, b, second):
    """Raises ValueError unless two runs have the same test rows."""
    labels = list(LABELS)
    rows, others = (
        pd.MultiIndex.from_frame(t[labels]) for t in (first, second)
    )
    missing = rows.symmetric_difference(others)
    if len(missing):
        raise ValueError(
            f"the runs were not tested on the same rows: {len(missing)} of "
            f"{len(rows.union(others))} are in only one of {a} and {b}, for "
            f"instance {', '.join(missing[0])} ({', '.join(labels)}); test "
            "both with the same corpus, task, test_variants and n_test"
        )
    apart = (first["si_sdr_mix"] - second["si_sdr_mix"]).abs() > SAME_DB
    if apart.any():
        at = apart.idxmax()
        raise ValueError(
            "the runs were not tested on the same signals: the mixture's own "
            f"SI-SDR differs in {apart.sum()} of {len(first)} rows of {a} and "
            f"{b}, for instance in {', '.join(first.loc[at, labels])}"
        )


def readable(table):
    """Formats the comparison for readers.

    Arguments
    ---------
    table : pd.DataFrame
        The result of ``compare``.

    Returns
    -------
    pd.DataFrame
        For each run and variant the number of rows, and for each score the
        difference, its interval and p, and how many of the rows are left out.
    """
    lines = {}
    for row in table.to_dict("records"):
        labels = {key: row[key] for key in ("run", "variant", "setting")}
        labels["n"] = str(row["n"] + row["left_out"])
        silent = row["silent_first"], row["silent"]
        labels["n"] += " ({} and {} silent)".format(*silent) * any(silent)
        line = lines.setdefault(tuple(labels.values()), labels)
        line[row["score"].replace("_", " ")] = _cell(row)
    return pd.DataFrame(lines.values())


def _cell(row):
    """A difference with its interval and p."""
    difference, low, high = (
        number(row[key], row["score"], sign="+")
        for key in ("difference", "ci_low", "ci_high")
    )
    text = difference if low == "-" else f"{difference} [{low}, {high}]"
    if np.isfinite(row["p_value"]):
        text += f" p={row['p_value']:.2g}"
    return text + f" ({row['left_out']} left out)" * (row["left_out"] > 0)
