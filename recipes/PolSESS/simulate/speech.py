"""Polish speech: voices, sentences, and recordings made of them.

The voices (voices_pl.csv) are variants of eSpeak NG's Polish voice, each with
a pitch and speed of its own; the sentences (sentences_pl.txt) were written
for this recipe. Train, val and test share neither a voice nor a sentence.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import pathlib

from simulate.acoustics import SUBSETS
from simulate.engine import Voice, synthesise

HERE = pathlib.Path(__file__).resolve().parent

# How many of the 100 sentences belong to each subset, in their order.
SENTENCE_SHARES = {"train": 70, "val": 15, "test": 15}


def read_voices():
    """Reads the table of voices.

    Returns
    -------
    voices : list of Voice
        In the order of the table.

    Example
    -------
    >>> voices = read_voices()
    >>> len(voices), len({voice.variant for voice in voices})
    (42, 42)
    """
    with open(HERE / "voices_pl.csv", encoding="utf-8", newline="") as table:
        return [
            Voice(
                row["subset"],
                row["variant"],
                int(row["pitch"]),
                int(row["speed"]),
            )
            for row in csv.DictReader(table)
        ]


def read_sentences():
    """Reads the Polish sentences of each subset.

    Returns
    -------
    sentences : dict
        Subset -> list of str.

    Example
    -------
    >>> {subset: len(texts) for subset, texts in read_sentences().items()}
    {'train': 70, 'val': 15, 'test': 15}
    """
    path = HERE / "sentences_pl.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    sentences, start = {}, 0
    for subset in SUBSETS:
        end = start + SENTENCE_SHARES[subset]
        sentences[subset] = lines[start:end]
        start = end
    assert start == len(lines), (start, len(lines))
    return sentences


def speak_recording(engine, voice, sentences, duration_seconds, rng):
    """Speaks sentences in random order until a recording is filled.

    Arguments
    ---------
    engine : Engine
        As find_engine returns it.
    voice : Voice
        Who speaks.
    sentences : list of str
        To draw from, without repetition until all have been used.
    duration_seconds : float
        Length of the recording; the last sentence is cut there.
    rng : numpy.random.Generator
        Order of the sentences.

    Returns
    -------
    signal : numpy.ndarray
        Samples in [-1, 1), shape [duration_seconds * sample_rate].
    sample_rate : int
        In Hz.
    """
    order = rng.permutation(len(sentences))
    # Six characters a word are few for Polish: seldom is a text too short.
    characters = duration_seconds * voice.speed / 60 * 6
    while True:
        texts, length = [], 0
        while length < characters:
            texts.append(sentences[order[len(texts) % len(order)]])
            length += len(texts[-1])
        signal, sample_rate = synthesise(engine, voice, "\n".join(texts))
        n_samples = round(duration_seconds * sample_rate)
        if len(signal) >= n_samples:
            return signal[:n_samples], sample_rate
        characters *= 1.3
