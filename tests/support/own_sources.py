"""A user's own sources, and what is read from a corpus made of them."""

import csv
import itertools

import numpy as np
import soundfile
from simulate.acoustics import BUILT_IN, SUBSETS
from simulate.audio import SegmentReader
from simulate.corpus import row_files
from simulate.make_corpus import make_corpus, parse_arguments
from simulate.sources import COLUMNS, SourcePool, read_sources

RATE = 44100
SECONDS = 3.0
USUAL = {"n_train": 12, "n_val": 3, "n_test": 3}
USUAL |= {"seed": 3, "segment_seconds": 1.0, "n_jobs": 1}


def words(root, **options):
    """The options of the command that makes a corpus."""
    pairs = {"output_folder": root, **USUAL, **options}.items()
    given = []
    for name, value in pairs:
        if isinstance(value, tuple):
            given += [f"--{name}", *map(str, value)]
        elif value is not None:
            given.append(f"--{name}={value}")
    return given


def make(root, **options):
    """Makes a corpus as the command does."""
    make_corpus(parse_arguments(words(root, **options)))


def write_sources(folder):
    """Sources of 44.1 kHz in stereo, 5 recordings a subset; their table."""
    rng = np.random.default_rng(0)
    kinds = [("speech", "speech", "anna"), ("speech", "speech", "jan")]
    kinds += [("envScene", "airport", ""), ("envScene", "park", "")]
    kinds.append(("events", "Keys_jangling", ""))
    rows = []
    for subset, (role, label, speaker) in itertools.product(SUBSETS, kinds):
        speaker = speaker and f"{subset}_{speaker}"
        name = f"audio/{subset}/{speaker or label}/1.wav"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Noise in syllables, never silent for long.
        time = np.arange(round(SECONDS * RATE)) / RATE
        left = 0.2 + np.abs(np.sin(2 * np.pi * rng.uniform(2, 4) * time))
        left *= 0.12 * rng.standard_normal(len(time))
        right = 0.5 * left + 0.01 * rng.standard_normal(len(left))
        soundfile.write(path, np.stack([left, right], 1), RATE, "PCM_16")
        values = [subset, name, role, "own", label, RATE, SECONDS, 2, speaker]
        rows.append(dict(zip(COLUMNS, values)))
    return write_table(folder / "sources.csv", rows)


def write_table(table, rows, columns=COLUMNS):
    with open(table, "w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return table


def read_table(table):
    with open(table, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def pool_of(table, segment_seconds=2.0, without=(), classes=BUILT_IN):
    """The training pool of a table, without some classes and speakers."""
    reader = SegmentReader(table.parent, 8000, segment_seconds)
    found = read_sources(table, classes)
    found = [r for r in found if not {*r.labels, r.speaker} & {*without}]
    return SourcePool(found, "train", reader, classes)


def rewrite(table, subject, change):
    """Replaces the signal of a training source by change(signal)."""
    path = table.parent / f"audio/train/{subject}/1.wav"
    soundfile.write(path, change(soundfile.read(path)[0]), RATE, "PCM_16")


def rows_of(root, subset="train"):
    return read_table(root / subset / f"corpus_{root.name}_{subset}_final.csv")


def samples_of(root, row):
    """Column of a row -> samples of its file."""
    return {
        column: soundfile.read(root / row["subset"] / name, dtype="int16")[0]
        for column, name in row_files(row).items()
    }


def look(root, see):
    """Path below the root -> see(file)."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): see(path) for path in paths}


def contents(root):
    return look(root, lambda path: path.read_bytes())


def times(root):
    return look(root, lambda path: path.stat().st_mtime_ns)


def level_db(samples):
    """RMS in dB."""
    return 10 * np.log10(np.mean(np.square(samples, dtype=float)))
