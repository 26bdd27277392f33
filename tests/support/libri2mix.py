"""Tiny trees in the layout that the scripts of LibriMix write."""

import shutil
from pathlib import Path

import numpy as np
import soundfile
from corpora import read_csv, write_metadata, write_wav

TYPES = ("mix_clean", "mix_both")


def tones(number, frames=4000, sample_rate=8000):
    """Two speakers and a noise of which nobody knows where they come from."""
    rng = np.random.default_rng(number)
    time_seconds = np.arange(frames) / sample_rate
    frequencies = rng.uniform(100, 1000, 2)
    signals = [np.sin(2 * np.pi * f * time_seconds) for f in frequencies]
    signals.append(rng.normal(0, 0.3, frames))
    return [0.1 * (s + rng.normal(0, 0.05, frames)) for s in signals]


def excerpts(corpus, frames=8000):
    """Speakers and scene of each test mixture of a PolSESS corpus, in its order."""
    (path,) = (corpus / "test").glob("corpus_*_final.csv")
    files = {
        "speaker1File": "clean",
        "speaker2File": "clean",
        "sceneFile": "scene",
    }
    return [
        [
            _middle(corpus / "test" / folder / row[column], frames)
            for column, folder in files.items()
        ]
        for row in read_csv(path)
    ]


def _middle(path, frames):
    """A part of a file, a little quieter, so that writing it rounds."""
    samples, _ = soundfile.read(path)
    start = (len(samples) - frames) // 2
    return 0.7 * samples[start : start + frames]


def make_libri2mix(root, mixtures, types=TYPES, sample_rate=8000):
    """Writes a test set; returns <root>/wav8k/min.

    A mixture is a list of speaker 1, speaker 2 and noise, [time]. Types are what
    to generate of mix_clean and mix_both.
    """
    corpus = Path(root) / f"wav{sample_rate // 1000}k/min"
    for type_ in types:
        rows = [
            _write_mixture(corpus / "test", type_, number, signals, sample_rate)
            for number, signals in enumerate(mixtures)
        ]
        write_list(corpus, type_, rows)
    if "mix_both" not in types:
        shutil.rmtree(corpus / "test/noise")
    return corpus


def mixture_id(number):
    """The ID of a mixture, as LibriMix makes it of its two utterances."""
    return f"{100 + number}-7-0001_{200 + number}-8-0002"


def list_path(corpus, type_):
    """The CSV that lists the mixtures of a type."""
    return corpus / f"metadata/mixture_test_{type_}.csv"


def samples_of(corpus, kind, number):
    """The samples of a file of a corpus (wav8k/min)."""
    path = corpus / "test" / kind / f"{mixture_id(number)}.wav"
    return soundfile.read(path)[0]


def write_list(corpus, type_, rows):
    """Writes that CSV from dicts of its cells."""
    write_metadata(list_path(corpus, type_), rows, list(rows[0]))


def _write_mixture(test, type_, number, signals, sample_rate):
    """Writes a mixture and what it is of; returns its row of the list."""
    name = f"{mixture_id(number)}.wav"
    folders = ["s1", "s2", "noise"]
    files = dict(zip(folders, signals))
    files[type_] = sum(signals if type_ == "mix_both" else signals[:2])
    for folder, samples in files.items():
        # Each is rounded on its own, as by the scripts, the way of libsndfile.
        samples = np.rint(samples * 2**31) // 2**16
        write_wav(test / folder / name, samples, sample_rate)
    parts = folders if type_ == "mix_both" else folders[:2]
    columns = {"s1": "source_1_path", "s2": "source_2_path"}
    return {
        "mixture_ID": mixture_id(number),
        # The machine that made the corpus is another one.
        "mixture_path": f"/their/disk/{test.name}/{type_}/{name}",
        **{
            columns.get(part, "noise_path"): f"/their/disk/{part}/{name}"
            for part in parts
        },
        "length": len(signals[0]),
    }
