"""What an audit of PolSESS finds: all checks, tables of findings.

A finding is a row of a table with the columns ``FINDING_COLUMNS``. ``CHECKS``
lists every check with its severity and what to do about it.

Authors
 * The PolSESS recipe team 2026
"""

import pandas as pd

SKIP = "or leave the row out with --on_bad_rows=skip"
RENDER = f"render or copy the file again, {SKIP}"
CORRECT = f"correct the metadata, {SKIP}"
# check -> (severity, what to do). "corpus" always stops the preparation,
# "error" only unless bad rows are skipped, "warning" never.
CHECKS = {
    "missing corpus": (
        "corpus",
        "pass the PolSESS folder with --data_folder or the environment "
        "variable POLSESS_DATA_ROOT; simulate/make_corpus.py makes a corpus",
    ),
    "no subsets": ("corpus", "check the path given with --data_folder"),
    "missing split": (
        "corpus",
        "add the folder, or ask for other splits (train.py: --test_only)",
    ),
    "missing metadata": ("corpus", "put the CSV into the folder of the subset"),
    "ambiguous metadata": ("corpus", "remove the file that is out of date"),
    "no header": ("corpus", "without an audit the first mixture must be there"),
    "unreadable metadata": ("corpus", "export the metadata again as CSV"),
    "missing column": ("corpus", "export the metadata with all columns"),
    "no rows": (
        "corpus",
        "render the subset, or ask for other splits (--test_only)",
    ),
    "no rows left": ("corpus", "see excluded.csv for the reasons"),
    "unusable folder": ("corpus", "rename the folder of the corpus"),
    "folder leaves the corpus": ("corpus", "move the folder into the corpus"),
    "cut row": ("error", CORRECT),
    "partly filled": ("error", CORRECT),
    "empty name": ("error", CORRECT),
    "name leaves the corpus": ("error", CORRECT),
    "link leaves the corpus": ("error", f"copy the file, {SKIP}"),
    "unusable value": ("error", f"rename it, {SKIP}"),
    "conflicting rows": ("error", CORRECT),
    "mixture in two corpora": ("error", f"pass one of them, {SKIP}"),
    "missing file": ("error", RENDER),
    "zero-byte file": ("error", RENDER),
    "unreadable file": ("error", RENDER),
    "truncated file": ("error", RENDER),
    "empty audio": ("error", RENDER),
    "length differs": ("error", RENDER),
    "sample rate differs": ("error", RENDER),
    "not mono": ("error", RENDER),
    "NaN or infinite samples": ("error", RENDER),
    "mixture is not the sum": ("error", RENDER),
    "beyond rounding": ("warning", "what is cancelled leaves this residue"),
    "clipped": ("warning", "distorted where it reaches full scale"),
    "silent": ("warning", "scores of this mixture may be undefined"),
    "near-silent speech": ("warning", "scores of this mixture may be extreme"),
    "repeated row": ("warning", "the first one is used"),
    "other subset": ("warning", "the row names another subset than its CSV"),
    "same speaker twice": ("warning", "the speakers may be inseparable"),
    "shared mixture": ("warning", "scores may be too good"),
    "shared speaker": ("warning", "scores may be too good"),
    "shared recording": ("warning", "scores may be too good"),
    "shared scene": ("warning", "scores may be too good"),
}
FINDING_COLUMNS = (
    "severity check split ID metadata row file expected found action"
).split()


def findings(check, rows, file, expected, found):
    """Makes a table of findings, one for each of the given rows.

    Arguments
    ---------
    check : str
        A key of ``CHECKS``.
    rows : pandas.DataFrame
        With split, ID, metadata and row.
    file, expected, found : str, list or pandas.Series
        The same for all rows, or one for each.

    Returns
    -------
    table : pandas.DataFrame
        With the columns ``FINDING_COLUMNS`` and the index of the rows.
    """
    severity, action = CHECKS[check]
    table = rows[["split", "ID", "metadata", "row"]].assign(
        severity=severity,
        check=check,
        file=file,
        expected=expected,
        found=found,
        action=action,
    )
    return table[FINDING_COLUMNS].astype(object)


def corpus_finding(check, split, file, expected, found):
    """Makes a table of one finding that concerns a folder or a whole CSV.

    Arguments
    ---------
    check, split, file, expected, found : str
        As in ``findings``.

    Returns
    -------
    table : pandas.DataFrame
        With the columns ``FINDING_COLUMNS``.
    """
    place = {"split": split, "ID": "", "metadata": "", "row": ""}
    # No row has the index -1.
    return findings(check, pd.DataFrame(place, [-1]), file, expected, found)


def erroneous(tables):
    """Collects the indices of the rows with errors.

    Arguments
    ---------
    tables : list of pandas.DataFrame
        Findings.

    Returns
    -------
    indices : set of int
    """
    return {
        index
        for table in tables
        for index in table.index[table["severity"] == "error"]
    }


def tabulate(rows, defects):
    """Makes tables of findings of defects of files.

    Arguments
    ---------
    rows : pandas.DataFrame
        The rows that the defects refer to.
    defects : iterable of tuple
        Index of the row, check, file, expected, found.

    Returns
    -------
    tables : list of pandas.DataFrame
        One for each check.
    """
    by_check = {}
    for index, check, *details in defects:
        by_check.setdefault(check, []).append((index, *details))
    tables = []
    for check, found in by_check.items():
        index, *details = (list(column) for column in zip(*found))
        tables.append(findings(check, rows.loc[index], *details))
    return tables
