"""Audits the rows of Libri2Mix: names, lengths, audio.

Authors
 * The PolSESS recipe team 2026
"""

import re

import pandas as pd

from audit.corpora import UNUSABLE
from audit.findings import erroneous, findings, tabulate
from audit.headers import check_headers
from audit.metadata import FILES
from audit.rows import OUTSIDE
from audit.samples import check_samples

# Column of the metadata -> what makes a value unusable, what is expected.
UNUSABLE_VALUES = {
    "ID": (rf"^$|{OUTSIDE.pattern}|{UNUSABLE.pattern}", "a plain file name"),
    "length": (r"^(?!0*[1-9]\d*(?:\.0*)?$)", "a number of samples"),
}


def audit_rows(rows, base, sample_rate, level, n_jobs=None):
    """Runs all checks on the rows.

    Arguments
    ---------
    rows : pandas.DataFrame
        From ``audit.libri2mix.read_rows``.
    base : Path
        The folder that ``$data_root`` stands for.
    sample_rate : int
        Expected, in Hz.
    level : str
        "quick": headers of all files and samples of 200 rows; "full": samples
        of all rows; "none": no audio, the metadata are believed.
    n_jobs : int, optional
        Number of threads that read audio.

    Returns
    -------
    rows : pandas.DataFrame
        Without repeated rows; frames and sample_rate added.
    tables : list of pandas.DataFrame
        Findings; their index is that of the row.
    """
    rows, tables = _check_metadata(rows)
    if level == "none":
        frames = pd.to_numeric(rows["length"], errors="coerce")
        return rows.assign(frames=frames, sample_rate=sample_rate), tables
    rows, defects = check_headers(rows, base, n_jobs)
    tables += tabulate(rows, defects)
    sound = rows[~rows.index.isin(erroneous(tables))]
    tables += _compare_with_metadata(sound, sample_rate)
    sound = rows[~rows.index.isin(erroneous(tables))]
    tables += tabulate(rows, check_samples(sound, base, level, n_jobs))
    return rows, tables


def _check_metadata(rows):
    """Finds repeated rows, which are dropped, and values that are unusable."""
    is_repeated = rows.duplicated(["variant", "ID"])
    repeated = rows[is_repeated]
    rows = rows[~is_repeated].reset_index(drop=True)
    found = "the same mixture above"
    tables = [findings("repeated row", repeated, "", "once", found)]
    for column, (pattern, expected) in UNUSABLE_VALUES.items():
        bad = rows[rows[column].str.contains(re.compile(pattern))]
        expected = f"{expected} as {column}"
        tables.append(
            findings("unusable value", bad, "", expected, bad[column])
        )
        # Nothing is read that such a row names.
        rows.loc[bad.index, list(FILES)] = ""
    return rows, tables


def _compare_with_metadata(rows, sample_rate):
    """Finds files of another sample rate, or length, than they should have."""
    odd = rows[rows["sample_rate"] != sample_rate]
    found = odd["sample_rate"].map("{:.0f}".format)
    expected = f"{sample_rate} Hz"
    tables = [
        findings("sample rate differs", odd, odd["mix_wav"], expected, found)
    ]
    lengths = rows["length"].astype(float)
    odd = rows[rows["frames"] != lengths]
    found = odd["frames"].map("{:.0f}".format)
    expected = lengths[odd.index].map("{:.0f} samples, as its row says".format)
    tables.append(
        findings("length differs", odd, odd["mix_wav"], expected, found)
    )
    return tables
