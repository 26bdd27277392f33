"""Audits the rows of PolSESS metadata: names, repetitions, audio, leaks.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import os
import re

from audit.corpora import SUBSETS, UNUSABLE
from audit.findings import corpus_finding, erroneous, findings, tabulate
from audit.headers import check_headers, inspect_file, leaves_corpus
from audit.metadata import FILES, REVERB_PARAMETERS, REVERBS
from audit.samples import check_samples

# Names lie directly in their folder: no separators, no drive, no "..".
OUTSIDE = re.compile(r"[/\\]|^[A-Za-z]:|^\.\.?$")
# Columns that go into the manifests as they are.
TEXTS = "ssr_db scene_class event_class speaker1 speaker2".split()

# Shared between splits: kind -> columns that name it.
SHARED = {
    "mixture": ["ID"],
    "speaker": ["speaker1", "speaker2"],
    "recording": ["recording1", "recording2", "event_recording"],
    "scene": ["scene_recording"],
}


def audit_rows(rows, base, level, n_jobs=None):
    """Runs all checks on the rows of the metadata.

    Arguments
    ---------
    rows : pandas.DataFrame
        From ``audit.metadata.read_rows``.
    base : Path
        The folder that ``$data_root`` stands for.
    level : str
        "quick": headers of all files and samples of 200 rows per split;
        "full": samples of all rows; "none": no audio but the header of the
        first mixture of each folder, which then counts for all.
    n_jobs : int, optional
        Number of threads that read audio.

    Returns
    -------
    rows : pandas.DataFrame
        Without repeated rows; files as paths below ``base``; frames and
        sample_rate added.
    tables : list of pandas.DataFrame
        Findings; their index is that of the row where they concern one.
    """
    rows, tables = check_repetitions(rows)
    tables += check_metadata(rows)
    for column, (name, folder) in FILES.items():
        tables += _check_names(rows, column, name)
        below = rows["folder"] + folder + "/" + rows[column]
        rows[column] = rows[column].where(rows[column] == "", below)
    if level == "none":
        rows, problems = _assume_headers(rows, base)
        tables += problems
    else:
        tables += _check_folders(rows, base)
        rows, defects = check_headers(rows, base, n_jobs)
        tables += tabulate(rows, defects)
        sound = rows[~rows.index.isin(erroneous(tables))]
        tables += tabulate(rows, check_samples(sound, base, level, n_jobs))
    sound = rows[~rows.index.isin(erroneous(tables))]
    return rows, [table for table in tables + check_leaks(sound) if len(table)]


def check_repetitions(rows):
    """Drops repeated rows and finds different rows of one mixture.

    Arguments
    ---------
    rows : pandas.DataFrame
        From ``audit.metadata.read_rows``.

    Returns
    -------
    rows : pandas.DataFrame
        The first of equal rows, numbered anew.
    tables : list of pandas.DataFrame
        Findings.
    """
    is_repeated = rows.duplicated(["folder", *FILES])
    repeated = rows[is_repeated]
    rows = rows[~is_repeated].reset_index(drop=True)
    named = rows[rows["ID"] != ""]
    conflict = named[named.duplicated(["folder", "ID"], keep=False)]
    first = named.groupby(["split", "ID"])["folder"].transform("first")
    other = named[named["folder"] != first]
    once = "one set of files per mixture"
    return rows, [
        findings("repeated row", repeated, "", "once", "the same row above"),
        findings("conflicting rows", conflict, "", once, "several"),
        findings(
            "mixture in two corpora",
            other,
            "",
            "one mixture of this name",
            "also in " + first[other.index],
        ),
    ]


def check_metadata(rows):
    """Finds rows whose cells contradict the layout or one another.

    Arguments
    ---------
    rows : pandas.DataFrame
        From ``audit.metadata.read_rows``.

    Returns
    -------
    tables : list of pandas.DataFrame
        Findings.
    """
    cut = rows[rows["n_cells"] != ""]
    subset = rows["split"].map(SUBSETS)
    moved = rows[rows["subset"] != subset]
    n_reverbs = (rows[list(REVERBS)] != "").sum(axis=1)
    n_filled = n_reverbs + rows["n_parameters"].astype(int)
    n_columns = len(REVERBS) + len(REVERB_PARAMETERS)
    # A cut row, found above, lacks cells of both kinds.
    partly = rows[n_filled.between(1, n_columns - 1) & (rows["n_cells"] == "")]
    filled = n_reverbs.astype(str) + f" of {len(REVERBS)} files, "
    filled += rows["n_parameters"] + f" of {len(REVERB_PARAMETERS)} parameters"
    is_known = rows["speaker1"] != ""
    same = rows[is_known & (rows["speaker1"] == rows["speaker2"])]
    tables = [
        findings("cut row", cut, "", "a cell for each column", cut["n_cells"]),
        findings(
            "partly filled",
            partly,
            "",
            "all files and parameters of the reverberation, or none",
            filled[partly.index],
        ),
        findings("same speaker twice", same, "", "two", same["speaker1"]),
        findings(
            "other subset", moved, "", subset[moved.index], moved["subset"]
        ),
    ]
    for column in TEXTS:
        odd = rows[rows[column].str.contains(UNUSABLE)]
        expected = f"a {column} without $ and line breaks"
        tables.append(
            findings("unusable value", odd, "", expected, odd[column])
        )
    return tables


def _check_names(rows, column, name):
    """Finds file names that cannot be used and empties them in ``rows``."""
    tables = []
    if column not in REVERBS:
        empty = rows[rows[column] == ""]
        tables.append(findings("empty name", empty, name, "a name", "none"))
    for check, pattern, expected in (
        ("name leaves the corpus", OUTSIDE, "a plain file name"),
        ("unusable value", UNUSABLE, "a name without $ and line breaks"),
    ):
        bad = rows[rows[column].str.contains(pattern)]
        tables.append(findings(check, bad, name, expected, bad[column]))
        rows.loc[bad.index, column] = ""
    return tables


def _check_folders(rows, base):
    """Finds folders of components that are links out of the corpus."""
    tables = []
    places = rows[["split", "folder"]].drop_duplicates()
    for split, place in places.itertuples(index=False):
        for name in sorted({folder for _, folder in FILES.values()}):
            folder = os.path.join(base, place, name, "")
            if leaves_corpus(folder):
                found = f"a link to {os.path.realpath(folder)}"
                tables.append(
                    corpus_finding(
                        "folder leaves the corpus",
                        split,
                        place + name,
                        "a folder of the corpus",
                        found,
                    )
                )
    return tables


def _assume_headers(rows, base):
    """Gives all rows of a folder the header of its first mixture."""
    tables, headers = [], {}
    firsts = rows.drop_duplicates("folder")
    for split, folder, mixture in zip(
        firsts["split"], firsts["folder"], firsts["mix_wav"]
    ):
        *header, _, defect = inspect_file(os.path.join(base, mixture))
        headers[folder] = header
        if defect:
            _, *details = defect
            tables.append(corpus_finding("no header", split, mixture, *details))
    frames, sample_rates = (
        rows["folder"].map({f: header[i] for f, header in headers.items()})
        for i in (0, 1)
    )
    return rows.assign(frames=frames, sample_rate=sample_rates), tables


def check_leaks(rows):
    """Finds what two splits share.

    Arguments
    ---------
    rows : pandas.DataFrame
        The rows of all splits.

    Returns
    -------
    tables : list of pandas.DataFrame
        Findings about the rows of the later split of each pair.
    """
    tables = []
    by_split = dict(list(rows.groupby("split", sort=False)))
    for earlier, later in itertools.combinations(by_split, 2):
        for kind, columns in SHARED.items():
            known = set(by_split[earlier][columns].to_numpy().ravel()) - {""}
            for column in columns:
                shared = by_split[later]
                shared = shared[shared[column].isin(known)]
                tables.append(
                    findings(
                        f"shared {kind}",
                        shared,
                        "",
                        f"none of {earlier}",
                        shared[column],
                    )
                )
    return tables
