"""Tiny trees in the layout that the scripts of LibriMix write.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import shutil
from pathlib import Path

import numpy as np
import soundfile

TYPES = ("mix_clean", "mix_both")


def tones(number, frames=4000, sample_rate=8000):
    """Two speakers and a noise of which nobody knows where they come from.

    Arguments
    ---------
    number : int
        Different ones give different signals.
    frames : int
        Their length.
    sample_rate : int
        In Hz.

    Returns
    -------
    list of np.ndarray
        [time], each.
    """
    rng = np.random.default_rng(number)
    time_seconds = np.arange(frames) / sample_rate
    frequencies = rng.uniform(100, 1000, 2)
    signals = [np.sin(2 * np.pi * f * time_seconds) for f in frequencies]
    signals.append(rng.normal(0, 0.3, frames))
    return [0.1 * (s + rng.normal(0, 0.05, frames)) for s in signals]


def excerpts(corpus, frames=8000):
    """Speakers and scenes of the test mixtures of a PolSESS corpus.

    Arguments
    ---------
    corpus : Path
        Its root.
    frames : int
        How much of each to take, from its middle.

    Returns
    -------
    list of list of np.ndarray
        A list of three signals for each mixture, in the order of the corpus.
    """
    path = next((corpus / "test").glob("corpus_*_final.csv"))
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = {"speaker1File": "clean", "speaker2File": "clean"}
    files["sceneFile"] = "scene"
    return [
        [
            _middle(corpus / "test" / folder / row[column], frames)
            for column, folder in files.items()
        ]
        for row in rows
    ]


def _middle(path, frames):
    """A part of a file, a little quieter, so that writing it rounds."""
    samples, _ = soundfile.read(path)
    start = (len(samples) - frames) // 2
    return 0.7 * samples[start : start + frames]


def make_libri2mix(root, mixtures, types=TYPES, sample_rate=8000):
    """Writes a test set.

    Arguments
    ---------
    root : Path
        Libri2Mix.
    mixtures : list of list of np.ndarray
        Speaker 1, speaker 2 and noise, [time], of each mixture.
    types : tuple of str
        What to generate: mix_clean, mix_both.
    sample_rate : int
        In Hz.

    Returns
    -------
    Path
        ``<root>/wav8k/min``.
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


def small_corpus(root):
    """A corpus of three mixtures of different lengths; its wav8k/min."""
    mixtures = [tones(number, 4000 + 9 * number) for number in range(3)]
    return make_libri2mix(root / "Libri2Mix", mixtures)


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
    path = list_path(corpus, type_)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_mixture(test, type_, number, signals, sample_rate):
    """Writes a mixture and what it is of; returns its row of the list."""
    name = f"{mixture_id(number)}.wav"
    folders = ["s1", "s2", "noise"]
    files = dict(zip(folders, signals))
    files[type_] = sum(signals if type_ == "mix_both" else signals[:2])
    for folder, samples in files.items():
        (test / folder).mkdir(parents=True, exist_ok=True)
        # Each is rounded on its own, as by the scripts.
        soundfile.write(test / folder / name, samples, sample_rate, "PCM_16")
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
