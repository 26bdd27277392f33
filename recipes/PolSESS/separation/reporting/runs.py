"""Reads the scores and the training log in the folder of a run.

Authors
 * The PolSESS recipe team 2026
"""

import os

import pandas as pd
import summary
from summary import LABELS, score_names
from variants import SETTINGS, TASKS, VARIANTS, source_names

FIRST_COLUMNS = [*LABELS, "si_sdr", "si_sdr_mix", "si_sdri"]
# Key of train_log.txt -> column of the learning curve
LOGGED = {
    "epoch": "epoch",
    "lr": "lr",
    "train loss": "train_loss",
    "valid SI-SDRi": "si_sdri",
    "valid ci_low": "ci_low",
    "valid ci_high": "ci_high",
}


def read_scores(run):
    """Reads and checks the scores of a run.

    Raises ValueError where there are none, or where the file is not one that
    this version writes.

    Arguments
    ---------
    run : str
        Output folder of a training.

    Returns
    -------
    pd.DataFrame
        test_scores.csv, sorted by its labels.
    """
    path = os.path.join(run, "test_scores.csv")
    if not os.path.isfile(path):
        raise ValueError(
            f"{path} is missing; test the run first (train.py ... --test_only)"
        )
    try:
        scores = summary.read_scores(path)
        problem = _problem(scores)
    except ValueError as error:  # pandas found no CSV, or no text at all
        problem = str(error)
    if problem:
        raise ValueError(
            f"{path}: {problem}; it is empty, damaged or from another version: "
            "test the run again (train.py ... --test_only)"
        )
    return scores.sort_values(list(LABELS), ignore_index=True)


def _problem(scores):
    """Names the first defect of scores; empty where there is none."""
    found = list(scores)
    if found[: len(FIRST_COLUMNS)] != FIRST_COLUMNS:
        return (
            f"expected the columns {', '.join(FIRST_COLUMNS)} first, found "
            f"{', '.join(found) or 'none'}"
        )
    if scores.empty:
        return "expected a row for each mixture, found none"
    for name in score_names(scores):
        pair = name.removesuffix("_mix")
        if name != "si_sdri" and not {pair, f"{pair}_mix"} <= set(found):
            return f"expected {pair} and {pair}_mix, found only one of them"
        if not pd.api.types.is_numeric_dtype(scores[name]):
            return f"expected numbers in the column {name}, found texts"
    unnamed = scores[list(LABELS)].isna().any(axis=1)
    if unnamed.any():
        line = unnamed.idxmax() + 2
        return f"expected {', '.join(LABELS)} in each row, not so in row {line}"
    for column, known in (("variant", VARIANTS), ("setting", SETTINGS)):
        odd = sorted(set(scores[column].astype(str)) - set(known))
        if odd:
            return (
                f"expected {column}s out of {', '.join(known)}, found {odd[0]}"
            )
    if task_of(scores) is None:
        return f"no task has the sources {sorted(set(scores['source']))}"
    repeated = scores[scores.duplicated(list(LABELS))]
    if len(repeated):
        first = ", ".join(map(str, repeated.iloc[0][list(LABELS)]))
        return f"expected one row for each source, found two of {first}"
    return ""


def variants_of_test(run, scores):
    """Lists the tested variants, also those that no mixture has.

    Arguments
    ---------
    run : str
        Output folder of a training.
    scores : pd.DataFrame
        Its test_scores.csv.

    Returns
    -------
    list of str
        The variants of the scores, and of test_summary.csv where it exists.
    """
    variants = set(scores["variant"])
    path = os.path.join(run, "test_summary.csv")
    if os.path.isfile(path):
        variants |= set(pd.read_csv(path)["variant"])
    return [variant for variant in VARIANTS if variant in variants]


def task_of(scores):
    """Tells the task from the sources of the scores.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.

    Returns
    -------
    str
        ES, EB or SB; None if it is none of them.

    Example
    -------
    >>> task_of(pd.DataFrame({"source": ["s2", "s1"]}))
    'SB'
    """
    sources = set(scores["source"])
    tasks = (task for task in TASKS if set(source_names(task)) == sources)
    return next(tasks, None)


def read_curve(path):
    """Reads the epochs of a log of SpeechBrain's FileTrainLogger.

    Lines that name no epoch, for instance where a full disk cut the log, are
    passed over.

    Arguments
    ---------
    path : str
        train_log.txt, a line for each epoch.

    Returns
    -------
    pd.DataFrame
        Columns epoch, lr, train_loss (dB), si_sdri, ci_low and ci_high (dB,
        validation), as far as the log has them. An epoch that was trained again
        after an interruption counts once. Empty without a log.
    """
    if not os.path.isfile(path):
        return pd.DataFrame()
    rows = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            items = line.strip().replace(" - ", ", ").split(", ")
            found = dict(i.split(": ") for i in items if i.count(": ") == 1)
            row = {LOGGED[key]: found[key] for key in LOGGED if key in found}
            if "epoch" in row:
                rows.append(row)
    if not rows:
        return pd.DataFrame()
    curve = pd.DataFrame(rows).apply(pd.to_numeric, errors="coerce")
    curve = curve.dropna(subset="epoch").drop_duplicates("epoch", keep="last")
    return curve.sort_values("epoch", ignore_index=True)
