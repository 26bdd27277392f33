"""A user's own sources, and what is read from a corpus made of them."""

import csv

import numpy as np
import soundfile
from simulate.acoustics import SUBSETS
from simulate.audio import SegmentReader
from simulate.corpus import row_files
from simulate.make_corpus import make_corpus, parse_arguments
from simulate.sources import COLUMNS, SourcePool, read_sources

RATE = 44100
SECONDS = 3.0
OPTIONS = {"seed": 3, "segment_seconds": 1.0, "n_jobs": 1}


def words(root, **options):
    """The options of the command that makes a corpus."""
    pairs = {"output_folder": root, **OPTIONS, **options}.items()
    return [f"--{name}={value}" for name, value in pairs if value is not None]


def make(root, n_train=12, n_val=3, n_test=3, **options):
    """Makes a corpus as the command does."""
    counts = {"n_train": n_train, "n_val": n_val, "n_test": n_test}
    make_corpus(parse_arguments(words(root, **counts, **options)))


def speech_like(rng, n):
    """Noise in syllables, never silent for long."""
    time = np.arange(n) / RATE
    envelope = 0.2 + np.abs(np.sin(2 * np.pi * rng.uniform(2, 4) * time))
    return 0.12 * envelope * rng.standard_normal(n)


def write_sources(folder):
    """Sources of 44.1 kHz in stereo, 5 recordings a subset; their table."""
    rng = np.random.default_rng(0)
    rows = []
    for subset in SUBSETS:
        for role, label, speaker in (
            ("speech", "speech", f"{subset}_anna"),
            ("speech", "speech", f"{subset}_jan"),
            ("envScene", "office", ""),
            ("envScene", "park", ""),
            ("events", "Keys_jangling", ""),
        ):
            name = f"audio/{subset}/{speaker or label}/1.wav"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            left = speech_like(rng, round(SECONDS * RATE))
            right = 0.5 * left + 0.01 * rng.standard_normal(len(left))
            soundfile.write(path, np.stack([left, right], 1), RATE, "PCM_16")
            values = [subset, name, role, "own", label]
            values += [RATE, SECONDS, 2, speaker]
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


def pool_of(table, recordings=None, segment_seconds=2.0, sample_rate=8000):
    """The training pool of a sources table, or of some of its recordings."""
    reader = SegmentReader(table.parent, sample_rate, segment_seconds)
    return SourcePool(recordings or read_sources(table), "train", reader)


def rewrite(table, subject, change):
    """Replaces the signal of a training source by change(signal)."""
    path = table.parent / f"audio/train/{subject}/1.wav"
    soundfile.write(path, change(soundfile.read(path)[0]), RATE, "PCM_16")


def rows_of(root, subset="train"):
    return read_table(root / subset / f"corpus_{root.name}_{subset}_final.csv")


def samples_of(root, row):
    """Column of the row -> samples of its file."""
    return {
        column: soundfile.read(root / row["subset"] / name, dtype="int16")[0]
        for column, name in row_files(row).items()
    }


def files(root, look):
    """Path below the root -> look(file)."""
    return {
        str(path.relative_to(root)): look(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def contents(root):
    return files(root, lambda path: path.read_bytes())


def times(root):
    return files(root, lambda path: path.stat().st_mtime_ns)


def level_dbfs(samples):
    """RMS of 16-bit samples in dB against full scale."""
    power = np.mean(np.square(samples.astype(np.float64) / 32768))
    return 10 * np.log10(power)
