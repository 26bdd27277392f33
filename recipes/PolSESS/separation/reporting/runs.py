"""Reads the folder of a run: scores, training log, facts.

Authors
 * The PolSESS recipe team 2026
"""

import os
from pathlib import Path

import pandas as pd
import summary
from summary import LABELS, score_names
from variants import SETTINGS, TASKS, VARIANTS, source_names

TASK_NAMES = {
    "ES": "ES, enhance a single speaker",
    "EB": "EB, enhance both speakers",
    "SB": "SB, separate both speakers",
}
FIRST_COLUMNS = [*LABELS, "si_sdr", "si_sdr_mix", "si_sdri"]
# Column of the learning curve -> key of train_log.txt
LOGGED = {
    "epoch": "epoch",
    "train_loss": "train loss",
    "si_sdri": "valid SI-SDRi",
    "ci_low": "valid ci_low",
    "ci_high": "valid ci_high",
}


def read_scores(run):
    """Reads and checks the scores of a run.

    Raises ValueError where there are none, or where the file is not one that
    this version writes.

    Arguments
    ---------
    run : str
        Output folder of a training or a test.

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
    """Says what is wrong with the scores; empty where nothing is."""
    if not set(FIRST_COLUMNS) <= set(scores):
        return f"expected the columns {', '.join(FIRST_COLUMNS)}"
    if scores.empty:
        return "expected a row for each mixture, found none"
    for name in score_names(scores):
        if not pd.api.types.is_numeric_dtype(scores[name]):
            return f"expected numbers in the column {name}, found texts"
    for column, known in (("variant", VARIANTS), ("setting", SETTINGS)):
        odd = sorted(set(scores[column].astype(str)) - set(known))
        if odd:
            return f"expected {column}s of {', '.join(known)}, found {odd[0]}"
    if task_of(scores) is None:
        sources = sorted(set(scores["source"].astype(str)))
        return f"no task has the sources {sources}"
    repeated = scores[scores.duplicated(list(LABELS))]
    if len(repeated):
        first = ", ".join(map(str, repeated.iloc[0][list(LABELS)]))
        return f"expected one row for each source, found two of {first}"
    return ""


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
    passed over. An epoch that was trained again after an interruption counts
    once.

    Arguments
    ---------
    path : str
        train_log.txt, a line for each epoch.

    Returns
    -------
    pd.DataFrame
        Columns epoch, train_loss (dB), si_sdri, ci_low and ci_high (dB,
        validation), NaN where the log has no number. Empty without a log.
    """
    path = Path(path)
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    lines = pd.Series(text.splitlines(), dtype=object).str
    columns = {
        column: lines.extract(f"(?:^|, | - ){key}: ([^ ,]+)", expand=False)
        for column, key in LOGGED.items()
    }
    curve = pd.DataFrame(columns).apply(pd.to_numeric, errors="coerce")
    curve = curve.dropna(subset="epoch").drop_duplicates("epoch", keep="last")
    return curve.sort_values("epoch", ignore_index=True)
