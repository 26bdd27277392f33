"""Built-in sources: synthesised speech, procedural scenes and events.

They are made once per corpus, below <output_folder>/sources, together with
the sources table that describes them; from there on they are treated as any
other sources. A recording depends on its own path, the recording length and
the segment length, and speech as well on the engine and its version and on
voices_pl.csv and sentences_pl.txt; not on the seed of the corpus, the number of
jobs or the other recordings. So the missing ones are added when it is started
again after an interruption.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import io
import os
import pathlib
import zlib

import joblib
import numpy as np
from tqdm import tqdm

from simulate.acoustics import SCENE_CLASSES, SUBSETS
from simulate.audio import resample, to_pcm16, write_pcm16
from simulate.events import EVENTS, make_event
from simulate.scenes import make_scene
from simulate.sounds import SAMPLE_RATE
from simulate.sources import COLUMNS
from simulate.speech import read_sentences, read_voices, speak_recording

RECORDINGS_PER_VOICE = 5
RECORDINGS_PER_CLASS = {"train": 4, "val": 2, "test": 2}
SHORTEST_RECORDING_SECONDS = 12.0
SPEECH_RMS = 0.06  # of the active parts; recordings vary by up to 3 dB
SPEECH_SPREAD_DB = 3.0


def make_sources(folder, engine, segment_seconds, n_jobs):
    """Makes the built-in sources that are missing, and their table.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where the recordings and sources.csv go.
    engine : Engine
        Speaks the sentences.
    segment_seconds : float
        Length of the mixtures; recordings are at least twice as long.
    n_jobs : int
        Number of processes.

    Returns
    -------
    table : pathlib.Path
        The sources table, which appears when all recordings are there.
    """
    folder = pathlib.Path(folder)
    duration_seconds = max(SHORTEST_RECORDING_SECONDS, 2 * segment_seconds)
    plan = plan_sources(duration_seconds)
    for parent in {(folder / row["filePath"]).parent for row in plan}:
        parent.mkdir(parents=True, exist_ok=True)
        for partial in parent.glob(".*.partial"):
            partial.unlink()
    missing = [row for row in plan if not (folder / row["filePath"]).exists()]
    tasks = (
        joblib.delayed(_make_recording)(folder, row, engine, segment_seconds)
        for row in missing
    )
    made = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    for _ in tqdm(made, desc="making sources", total=len(missing)):
        pass
    table = folder / "sources.csv"
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(plan)
    partial = table.with_name("sources.csv.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    os.replace(partial, table)
    return table


def plan_sources(duration_seconds):
    """Lists the built-in recordings as rows of the sources table.

    Arguments
    ---------
    duration_seconds : float
        Length of each recording.

    Returns
    -------
    rows : list of dict
        One for each recording.

    Example
    -------
    >>> rows = plan_sources(12.0)
    >>> rows[0]["filePath"], len(rows)
    ('speech/train/steph3/steph3_1.wav', 570)
    """
    rows = []

    def add(subset, role, source, label, speaker, count):
        """Appends `count` recordings of one voice or class."""
        stem = speaker or "".join(
            c if c.isalnum() else "_" for c in label
        ).strip("_")
        for number in range(1, count + 1):
            name = f"{role}/{subset}/{stem}/{stem}_{number}.wav"
            values = [subset, name, role, source, label, SAMPLE_RATE]
            values += [duration_seconds, 1, speaker]
            rows.append(dict(zip(COLUMNS, values)))

    for voice in read_voices():
        add(
            voice.subset,
            "speech",
            "espeak-ng",
            "speech",
            voice.variant.lower(),
            RECORDINGS_PER_VOICE,
        )
    for subset in SUBSETS:
        count = RECORDINGS_PER_CLASS[subset]
        for scene_class in SCENE_CLASSES:
            add(subset, "envScene", "procedural", scene_class, "", count)
        for event_class in EVENTS:
            add(subset, "events", "procedural", event_class, "", count)
    return rows


def _make_recording(folder, row, engine, segment_seconds):
    """Makes and writes one recording of the plan."""
    rng = np.random.default_rng(zlib.crc32(row["filePath"].encode()))
    duration_seconds, label = row["duration"], row["class"]
    if row["role"] == "speech":
        signal = _make_speech(rng, row, engine)
    elif row["role"] == "envScene":
        signal = make_scene(rng, label, duration_seconds)
    else:
        signal = make_event(rng, label, duration_seconds, segment_seconds)
    write_pcm16(folder / row["filePath"], to_pcm16(signal), SAMPLE_RATE)


def _make_speech(rng, row, engine):
    """One recording of a voice at its level."""
    voice = next(
        v for v in read_voices() if v.variant.lower() == row["speaker"]
    )
    signal, sample_rate = speak_recording(
        engine, voice, read_sentences()[voice.subset], row["duration"], rng
    )
    signal = resample(signal, sample_rate, SAMPLE_RATE)
    signal = signal[: round(row["duration"] * SAMPLE_RATE)]
    # Pauses are exact zeros and say nothing about the level.
    active = signal[np.abs(signal) > 1e-4]
    level = SPEECH_RMS * 10 ** (
        rng.uniform(-SPEECH_SPREAD_DB, SPEECH_SPREAD_DB) / 20
    )
    signal = signal * level / np.sqrt(np.mean(np.square(active)))
    return signal * min(1.0, 0.9 / np.abs(signal).max())
