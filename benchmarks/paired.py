"""Trainings on a core each, their scores over seeds, and paired differences.

Authors
 * The PolSESS recipe team 2026
"""

import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
from common import SEPARATION
from reporting.compare import compare
from summary import count_silent, read_scores, summarise
from variants import VARIANTS


def start(script, words, core, output):
    """Starts a script on one core; its output is appended to a file.

    Arguments
    ---------
    script : str or Path
        train.py, or another one with its arguments.
    words : list of str
        The command line.
    core : int
        Number of the core.
    output : Path
        For stdout and stderr.

    Returns
    -------
    subprocess.Popen
        The process, in the folder of train.py.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "a", encoding="utf-8") as file:
        return subprocess.Popen(
            ["taskset", "-c", str(core), sys.executable, script, *words],
            cwd=SEPARATION,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def on_cores(function, cases, jobs):
    """Calls function(case, core) for each case, on some cores at once.

    Arguments
    ---------
    function : callable
        Takes a case and the number of an idle core.
    cases : list
        What to call it for.
    jobs : int
        Number of cores.

    Returns
    -------
    dict
        Case -> result.
    """
    cores = queue.Queue()
    for core in sorted(os.sched_getaffinity(0))[:jobs]:
        cores.put(core)

    def run(case):
        core = cores.get()
        try:
            return function(case, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(cases, pool.map(run, cases)))


def mean_of_seeds(folders):
    """Scores of several seeds, averaged row by row."""
    tables = [read_scores(folder / "test_scores.csv") for folder in folders]
    keys = ["ID", "variant", "setting", "source"]
    return (
        pd.concat(tables)
        .groupby(keys, sort=False)[["si_sdr", "si_sdr_mix", "si_sdri"]]
        .mean()
        .reset_index()
    )


def silent_rows(folders):
    """Number of rows with a silent estimate in the tests of several runs."""
    paths = [folder / "test_scores.csv" for folder in folders]
    return sum(count_silent(read_scores(path)) for path in paths)


def macro_mean(scores, task):
    """The line of a summary for the mean over variants."""
    table = summarise(scores, VARIANTS, task)
    return table[table["variant"] == "macro mean"].iloc[0]


def difference(base, scores):
    """Mean difference of SI-SDRi over variants, and its 95 % interval, in dB.

    Arguments
    ---------
    base, scores : pd.DataFrame
        As ``mean_of_seeds`` returns them, of the same test rows.

    Returns
    -------
    difference, low, high : float
    """
    table = compare({"base": base, "other": scores})
    is_macro = table["variant"].eq("macro mean") & table["score"].eq("si_sdri")
    row = table[is_macro].iloc[0]
    return row["difference"], row["ci_low"], row["ci_high"]


def interval(value, low, high, sign="", silent=0):
    """A number of dB with its interval, and the number of silent estimates.

    Example
    -------
    >>> interval(0.25, -0.5, 1.0, "+")
    '+0.25 [-0.50, +1.00]'
    >>> interval(0.25, -0.5, 1.0, silent=3)
    '0.25 [-0.50, 1.00] (3 silent)'
    """
    value, low, high = (f"{x:{sign}.2f}" for x in (value, low, high))
    return f"{value} [{low}, {high}]" + f" ({silent} silent)" * (silent > 0)
