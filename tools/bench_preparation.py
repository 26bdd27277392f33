"""Times the preparation of many rows, for bench_training.py.

Authors
 * The PolSESS recipe team 2026
"""

import os
import shutil
import subprocess
import sys
import time

from readme_section import ROOT

sys.path.append(str(ROOT / "tests"))

# A preparation that prints its seconds.
PREPARE = """
import sys, time
sys.path.insert(0, {folder!r})
from prepare_polsess import prepare_polsess
start = time.perf_counter()
prepare_polsess({root!r}, {save!r}, ["train"], audit={audit!r})
print(time.perf_counter() - start)
"""


def make_rows(root, n_rows, with_files):
    """Writes metadata of so many rows; their files, if wanted, are hard links.

    Arguments
    ---------
    root : pathlib.Path
        Of the corpus; one that is there is replaced.
    n_rows : int
        At least 2, of which only two have files of their own.
    with_files : bool
        Whether the others have files too.
    """
    import tiny_corpus

    shutil.rmtree(root, ignore_errors=True)
    rows = tiny_corpus.make_corpus(root, {"train": (1, 1)}, seconds=4.0)
    rows = rows["train"]
    for number in range(n_rows - 2):
        first = rows[number % 2]
        row = dict(first)
        for column in tiny_corpus.FOLDERS:
            row[column] = row[column] and f"{number:06d}{row[column]}"
            if with_files and row[column]:
                os.link(
                    tiny_corpus.wav_path(root, first, column),
                    tiny_corpus.wav_path(root, row, column),
                )
        row["speech1OryginalPath"] = f"C:\\emu\\SES{number % 500:04d}\\1.wav"
        rows.append(row)
    tiny_corpus.write_metadata(tiny_corpus.metadata_path(root, "train"), rows)


def measure_preparation(folder, n_rows, audit, rounds):
    """Seconds of each round, every one in a fresh process.

    Arguments
    ---------
    folder : pathlib.Path
        For the corpus and the manifests.
    n_rows : int
        Of the metadata.
    audit : str
        See ``prepare_polsess``; with none no files are made.
    rounds : int
        How often it is prepared.

    Returns
    -------
    list of float
        In seconds.
    """
    root = folder / f"Rows{n_rows}"
    make_rows(root, n_rows, with_files=audit != "none")
    seconds = []
    for _ in range(rounds):
        script = PREPARE.format(
            folder=str(ROOT / "recipes/PolSESS"),
            root=str(root),
            save=str(folder / f"save_{time.time_ns()}"),
            audit=audit,
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds.append(float(done.stdout.splitlines()[-1]))
    return seconds
