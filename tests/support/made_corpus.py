"""A tiny corpus to spoil, and what is prepared of it."""

from corpora import (
    COLUMNS,
    COUNTS,
    make_corpus,
    metadata_path,
    read_all,
    read_csv,
    wav_path,
    write_metadata,
)
from prepare_polsess import prepare_polsess


class MadeCorpus:
    """Lies in a folder, and beside it the folder ``save`` of its manifests."""

    def __init__(self, folder, counts=COUNTS, name="Tiny", **keywords):
        self.folder, self.root = folder, folder / name
        keywords = {"seconds": 0.1, **keywords}
        self.rows = make_corpus(self.root, counts, **keywords)

    def path(self, column, number=0, subset="train"):
        """The WAV file of a row."""
        return wav_path(self.root, self.rows[subset][number], column)

    def metadata(self, subset="train"):
        """The path of a CSV."""
        return metadata_path(self.root, subset)

    def write(self, subset="train", columns=COLUMNS):
        """Writes a CSV again, whose rows were changed."""
        write_metadata(self.metadata(subset), self.rows[subset], columns)

    def prepare(self, *splits, save="save", **options):
        """Prepares it; returns name -> bytes of all that is written."""
        splits = splits or ("train", "valid", "test")
        prepare_polsess(self.root, self.folder / save, splits, **options)
        return read_all(self.folder / save)

    def read(self, name):
        """The rows of a CSV that was written."""
        return read_csv(self.folder / "save" / f"{name}.csv")
