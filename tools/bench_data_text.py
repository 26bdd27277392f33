"""Says in words and as tables what bench_data.py measured.

Authors
 * The PolSESS recipe team 2026
"""

import os
import statistics

from bench_data_stages import STAGES
from readme_section import where

TARGETS = {"released": 800, "packed": 2000}  # items a second
REASONS = """\
Reading a packed file is one call for all channels, but then those that are wanted \
are picked out of its interleaved samples, which takes as long as opening the \
released files does where these are in memory. What packing saves is the disk: see \
the cold rows. A worker process makes fewer items than this process, since \
it has to hand each batch over: it is copied into memory that both share, and out \
of it (`handover.py`). Tried and not faster: mixing block by \
block while reading, one product of all channels with the signs of their sums, \
a shorter switching interval of Python's threads, more batches ahead.
"""


def to_text(values):
    """Median and range."""
    values = values.dropna()
    if not len(values):
        return ""
    return (
        f"{statistics.median(values):.0f} ({min(values):.0f} to "
        f"{max(values):.0f})"
    )


def verdicts(table):
    """Which targets are reached, by a worker and without handing over.

    Arguments
    ---------
    table : pandas.DataFrame
        See ``to_markdown``.

    Returns
    -------
    str
        Sentences.
    """
    warm = table[table["cache"] == "warm"]
    names = {1: "one worker", "none": "one process without a loader"}
    sentences = []
    for files, target in TARGETS.items():
        for workers, name in names.items():
            rows = warm[(warm["files"] == files) & (warm["workers"] == workers)]
            medians = rows.groupby("task", sort=False)["items_s"].median()
            found = " and ".join(f"{m:.0f} ({t})" for t, m in medians.items())
            word = "reached" if (medians >= target).all() else "missed"
            sentences.append(f"{files.capitalize()}, {name}: {found}, {word}.")
    return " ".join(sentences)


def to_markdown(table, stages, about, is_cold):
    """The result as tables with what is needed to repeat it.

    Arguments
    ---------
    table : pandas.DataFrame
        A row for each case and round.
    stages : list of dict
        See ``stages_table``.
    about : dict
        n (mixtures), seed, rounds.
    is_cold : bool
        Whether a cold cache was measured.

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        "# Data: items a second\n",
        "| task | files | cache | workers | items/s, median (range) | items "
        "per s of CPU time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    keys = ["task", "files", "cache", "workers"]
    for case, rows in table.groupby(keys, sort=False):
        cells = [*case, to_text(rows["items_s"]), to_text(rows["items_cpu_s"])]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    cold = "" if is_cold else " A cold cache is not available here."
    commit, machine = where()
    return "\n".join(lines) + (
        f"\n\nTargets: {TARGETS['released']:,} items a second of released and "
        f"{TARGETS['packed']:,} of packed files, warm, per worker. "
        f"{verdicts(table)} An item is "
        "a mixture of 4 s at 8 kHz with its references, made by the pipeline of "
        "`train.py` and put into batches of 4. Released: a WAV file per component; "
        "packed: one per mixture; audio_io: released files read by SpeechBrain's "
        "audio_io. Workers: none is this process without a data loader, 0 a data "
        "loader without workers; workers have been started before."
        f"{cold} {{n}} mixtures, seed {{seed}}, {{rounds}} rounds in turn, in "
        "`data.csv`".format(**about)
        + f"; load of the machine at the end: {os.getloadavg()[0]:.1f} processes "
        f"on {os.cpu_count()} cores.\n\n## Where the time goes\n\n"
        "Microseconds of an item, warm, in one process:\n\n"
        + "\n".join(stages_table(stages))
        + f"\n\n{REASONS}\n`make bench` (`tools/bench_data.py`) at commit "
        f"{commit}: {machine}.\n"
    )


def stages_table(rows):
    """Medians of the rounds.

    Arguments
    ---------
    rows : list of dict
        task, files and the stages of each round.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    lines = [
        f"| task | files | {' | '.join(STAGES)} |",
        "| --- | --- |" + " --- |" * len(STAGES),
    ]
    cases = dict.fromkeys((row["task"], row["files"]) for row in rows)
    for case in cases:
        of_case = [r for r in rows if (r["task"], r["files"]) == case]
        medians = [
            f"{statistics.median(row[stage] for row in of_case):.0f}"
            for stage in STAGES
        ]
        lines.append(f"| {' | '.join([*case, *medians])} |")
    return lines
