"""Builds one subset of a corpus: both stages, in parallel, resumable.

Stage 1 appends its rows to <subset>/corpus_<name>_<subset>_rows.csv, stage 2
renders the missing files, and then the table gets its final name. Every file
is complete, because it is written under another name first. So a stopped build
goes on where it was, and a corpus is extended by the rows after its last one.
A build that goes on with fewer mixtures leaves out the rows after them; files
of those rows stay, and are used when the corpus is extended again.
"""

import csv
import itertools
import os
import shutil

import joblib
from paths import replacing
from prepare_polsess import FILES
from tqdm import tqdm

from simulate.metadata import METADATA_COLUMNS, draw_row
from simulate.render import render_missing
from simulate.tables import SimulationError

FOLDERS = sorted({folder for _, folder in FILES.values()})
LARGEST_BATCH = 256  # rows that a process gets at a time


def row_files(row):
    """Lists the files of a row.

    Arguments
    ---------
    row : dict
        One row of the metadata.

    Returns
    -------
    files : dict
        Column -> path below the subset's folder.

    Example
    -------
    >>> row_files({"speaker1File": "a.wav", "mixFile": "m.wav"})
    {'mixFile': 'mix/m.wav', 'speaker1File': 'clean/a.wav'}
    """
    return {
        column: f"{folder}/{row[column]}"
        for column, folder in FILES.values()
        if row.get(column)
    }


class SubsetBuilder:
    """Builds one subset of a corpus, or the missing part of it.

    Arguments
    ---------
    root : pathlib.Path
        Root of the corpus; its last name is the name of the corpus.
    subset : str
        "train", "val" or "test".
    n_rows : int
        Number of mixtures wanted; existing ones are never removed.
    options : dict
        seed, sample_rate, segment_seconds, indoor_ratio and, if events have
        a range of levels, event_range_db.
    n_jobs : int
        Number of processes.
    """

    def __init__(self, root, subset, n_rows, options, n_jobs):
        self.folder = root / subset
        self.subset = subset
        self.options = options
        self.n_jobs = n_jobs
        stem = f"corpus_{root.name}_{subset}"
        self.final_table = self.folder / f"{stem}_final.csv"
        self.rows_table = self.folder / f"{stem}_rows.csv"
        self.n_present = sum(1 for _ in _read_rows(self.final_table))
        self.n_rows = max(n_rows, self.n_present)
        if 0 < n_rows < self.n_present:
            print(
                f"{self.final_table}: has {self.n_present} mixtures, more than "
                f"the {n_rows} asked for; nothing is deleted"
            )

    def is_complete(self):
        """True if the final table has all rows and their files exist."""
        if self.n_present < self.n_rows:
            return False
        return not any(self._unfinished(self.final_table))

    def build(self, pool):
        """Draws and renders what is missing.

        Arguments
        ---------
        pool : SourcePool
            Recordings of this subset.
        """
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for left in self.folder.rglob(".*.partial"):
            shutil.rmtree(left)  # no other process makes this corpus
        self._draw(pool)
        self._render(pool)
        os.replace(self.rows_table, self.final_table)

    def _draw(self, pool):
        """Stage 1: appends the rows that the table lacks."""
        n_drawn = self._open_rows_table()
        names = ("seed", "indoor_ratio", "event_range_db")
        options = [self.options.get(name) for name in names]
        indices = range(n_drawn, self.n_rows)
        tasks = (
            joblib.delayed(draw_row)(pool, index, *options) for index in indices
        )
        with open(self.rows_table, encoding="utf-8", newline="") as table:
            columns = next(csv.reader(table))
        # A corpus of an earlier version keeps its columns.
        if "speech1GainDB" not in columns and pool.has_gains:
            raise SimulationError(
                f"{self.rows_table}: an earlier version made this corpus, and "
                "did not apply gainDB; use another --output_folder"
            )
        with open(self.rows_table, "a", encoding="utf-8", buffering=1) as table:
            writer = csv.DictWriter(
                table, columns, extrasaction="ignore", lineterminator="\n"
            )
            for row in self._parallel(tasks, len(indices), "metadata"):
                writer.writerow(row)

    def _open_rows_table(self):
        """Starts or repairs the table of stage 1; returns its row count."""
        if not self.rows_table.exists():
            with replacing(self.rows_table) as [new]:
                if self.final_table.exists():
                    shutil.copyfile(self.final_table, new)
                else:
                    header = ",".join(METADATA_COLUMNS) + "\n"
                    new.write_text(header, encoding="utf-8")
        # Drops half a line, which a kill leaves, and rows not asked for.
        with open(self.rows_table, "rb+") as table:
            lines = (line for line in table if line.endswith(b"\n"))
            wanted = itertools.islice(lines, 1 + self.n_rows)
            table.truncate(sum(len(line) for line in wanted))
        return sum(1 for _ in _read_rows(self.rows_table))

    def _render(self, pool):
        """Stage 2: renders the rows of which a file is missing."""
        n_missing = sum(1 for _ in self._unfinished(self.rows_table))
        tasks = (
            joblib.delayed(render_missing)(
                row,
                {column: self.folder / name for column, name in files.items()},
                pool.reader,
            )
            for row, files in self._unfinished(self.rows_table)
        )
        for _ in self._parallel(tasks, n_missing, "render"):
            pass

    def _unfinished(self, table):
        """Yields rows of which a file is missing, each with its files."""
        present = {
            f"{name}/{entry.name}"
            for name in FOLDERS
            if (self.folder / name).is_dir()
            for entry in os.scandir(self.folder / name)
        }
        for row in _read_rows(table):
            files = row_files(row)
            if not present.issuperset(files.values()):
                yield row, files

    def _parallel(self, tasks, n_tasks, stage):
        """Runs tasks in processes; yields results in order, few at a time."""
        n_batch = min(LARGEST_BATCH, max(1, n_tasks // (8 * self.n_jobs)))
        results = joblib.Parallel(
            n_jobs=self.n_jobs,
            return_as="generator",
            batch_size=n_batch,
            pre_dispatch=2 * n_batch * self.n_jobs,
        )(tasks)
        return tqdm(
            results,
            desc=f"{self.subset}: {stage}",
            total=self.n_rows,
            initial=self.n_rows - n_tasks,
        )


def _read_rows(table):
    """Yields the rows of a metadata table, none if there is no table."""
    if table.exists():
        with open(table, encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines)
