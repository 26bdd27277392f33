"""Runs all checks on the rows that the preparation found no error in.

Authors
 * The PolSESS recipe team 2026
"""

import os
from concurrent.futures import ThreadPoolExecutor

from prepare_polsess import FILES, Finding

from audit.files import check_file
from audit.leaks import list_leaks
from audit.metadata import check_cells
from audit.samples import check_samples
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

# Reading waits for the disk most of the time.
THREADS_PER_CPU = 4


def audit(rows, base, n_jobs=None):
    """Audits all files of all rows.

    Arguments
    ---------
    rows : list of dict
        Rows of the metadata, as ``prepare_polsess`` passes them.
    base : Path
        The folder that ``$data_root`` stands for.
    n_jobs : int, optional
        Number of threads that read audio. Default: four per CPU.

    Returns
    -------
    findings : list of Finding
        Errors and warnings.
    """
    tasks = [(base, row) for row in rows]
    with ThreadPoolExecutor(
        n_jobs or THREADS_PER_CPU * get_available_cpu_count()
    ) as pool:
        by_row = list(parallel_map(audit_row, tasks, executor=pool))
    findings = [finding for of_row in by_row for finding in of_row]
    return findings + list_leaks(rows)


def audit_row(task):
    """Audits one row: its metadata, its files, their samples.

    Arguments
    ---------
    task : tuple
        Data root and row.

    Returns
    -------
    findings : list of Finding
        Samples are read only where the files have no defect.
    """
    base, row = task
    paths = {c: os.path.join(base, row[c]) for c in FILES if row[c]}
    defects = list(check_cells(row["cells"]))
    for column, path in paths.items():
        for check, expected, found in check_file(path):
            defects.append((check, row[column], expected, found))
    if not defects:
        for check, column, expected, found in check_samples(
            paths, row["setting"]
        ):
            defects.append((check, row[column], expected, found))
    return [
        Finding(check, *row["place"], *details) for check, *details in defects
    ]
