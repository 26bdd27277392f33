"""Builds one subset of a corpus: both stages, in parallel, resumably.

Stage 1 appends its rows to <subset>/corpus_<name>_<subset>_rows.csv, stage 2
renders the files that are missing, and when all are there the table gets its
final name in one step. Whatever is there is complete, because every file is
written under another name first; so a build that was stopped goes on where it
was, and a corpus is extended by the rows that come after its last one. If
fewer mixtures are asked for when it goes on, the rows beyond them are left
out; files of such rows that are there stay, and count when it is extended.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import io
import itertools
import os
import shutil

import joblib
from tqdm import tqdm

from simulate.metadata import METADATA_COLUMNS, draw_row
from simulate.render import FILE_FOLDERS, render_missing, row_files

LARGEST_CHUNK = 256  # rows a worker is given at a time


class SubsetBuilder:
    """Builds one subset of a corpus, or what is missing of it.

    Arguments
    ---------
    root : pathlib.Path
        Root of the corpus; its last name is the name of the corpus.
    subset : str
        "train", "val" or "test".
    n_rows : int
        Number of mixtures wanted; those present are never removed.
    options : dict
        seed, sample_rate, segment_seconds and indoor_ratio.
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
        n_present = sum(1 for _ in _read_rows(self.final_table))
        if 0 < n_rows < n_present:
            print(
                f"{self.final_table}: has {n_present} mixtures, more than the "
                f"{n_rows} asked for; nothing is deleted"
            )
        self.n_rows = max(n_rows, n_present)
        self.n_present = n_present

    def is_complete(self):
        """Tells whether all rows asked for are in the final table and on disk.

        Returns
        -------
        complete : bool
            True as well for a subset of which nothing is asked for.
        """
        if self.n_present < self.n_rows:
            return False
        return next(self._unfinished(self.final_table), None) is None

    def build(self, pool):
        """Draws and renders what is missing.

        Arguments
        ---------
        pool : SourcePool
            The recordings of this subset.
        """
        for folder in sorted(set(FILE_FOLDERS.values())):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
            for partial in (self.folder / folder).glob(".*.partial"):
                partial.unlink()
        self._draw(pool)
        self._render(pool)
        os.replace(self.rows_table, self.final_table)

    def _draw(self, pool):
        """Stage 1: appends the rows that the table lacks."""
        n_drawn = self._open_rows_table()
        tasks = (
            joblib.delayed(_draw_chunk)(pool, chunk, self.options)
            for chunk in self._chunks(range(n_drawn, self.n_rows))
        )
        bar = tqdm(
            desc=f"{self.subset}: metadata", total=self.n_rows, initial=n_drawn
        )
        with bar, open(self.rows_table, "a", encoding="utf-8") as table:
            for text in self._parallel(tasks):
                table.write(text)
                table.flush()
                bar.update(text.count("\n"))

    def _open_rows_table(self):
        """Starts or repairs the table of stage 1; returns its row count."""
        if not self.rows_table.exists():
            partial = self.rows_table.with_suffix(".partial")
            if self.final_table.exists():
                shutil.copyfile(self.final_table, partial)
            else:
                header = ",".join(METADATA_COLUMNS) + "\n"
                partial.write_text(header, encoding="utf-8")
            os.replace(partial, self.rows_table)
        # A build that was killed while it wrote leaves half a line, and one
        # of which more was asked leaves rows too many: drawn again if needed.
        with open(self.rows_table, "rb+") as table:
            lines = (line for line in table if line.endswith(b"\n"))
            wanted = itertools.islice(lines, 1 + self.n_rows)
            table.truncate(sum(len(line) for line in wanted))
        return sum(1 for _ in _read_rows(self.rows_table))

    def _render(self, pool):
        """Stage 2: renders the rows of which a file is missing."""
        n_missing = sum(1 for _ in self._unfinished(self.rows_table))
        chunks = self._chunks(self._unfinished(self.rows_table), n_missing)
        tasks = (
            joblib.delayed(_render_chunk)(
                chunk, self.folder, pool.folder, self.options
            )
            for chunk in chunks
        )
        n_rows = sum(1 for _ in _read_rows(self.rows_table))
        bar = tqdm(
            desc=f"{self.subset}: render",
            total=n_rows,
            initial=n_rows - n_missing,
        )
        with bar:
            for n_rendered in self._parallel(tasks):
                bar.update(n_rendered)

    def _unfinished(self, table):
        """Yields the rows of a table of which a file is missing."""
        present = {
            f"{folder}/{entry.name}"
            for folder in sorted(set(FILE_FOLDERS.values()))
            if (self.folder / folder).is_dir()
            for entry in os.scandir(self.folder / folder)
        }
        for row in _read_rows(table):
            if not present.issuperset(row_files(row).values()):
                yield row

    def _parallel(self, tasks):
        """Runs tasks in processes, results in order; only a few wait."""
        return joblib.Parallel(n_jobs=self.n_jobs, return_as="generator")(tasks)

    def _chunks(self, items, n_items=None):
        """Yields lists of items, short enough for all processes to get some."""
        n_items = len(items) if n_items is None else n_items
        size = min(LARGEST_CHUNK, max(1, n_items // (8 * self.n_jobs)))
        chunk = []
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _read_rows(table):
    """Yields the rows of a metadata table, none if there is no table."""
    if table.exists():
        with open(table, encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines)


def _draw_chunk(pool, indices, options):
    """Rows as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, METADATA_COLUMNS, lineterminator="\n")
    for index in indices:
        writer.writerow(
            draw_row(
                pool,
                index,
                options["seed"],
                options["sample_rate"],
                options["indoor_ratio"],
            )
        )
    return text.getvalue()


def _render_chunk(rows, subset_folder, sources_folder, options):
    """Renders rows and returns how many."""
    for row in rows:
        render_missing(
            row,
            subset_folder,
            sources_folder,
            options["sample_rate"],
            options["segment_seconds"],
        )
    return len(rows)
