"""Built-in sources: synthesised speech, procedural scenes and events.

They are made once for a corpus, in <output_folder>/sources, with the sources
table that describes them, and are then treated as any other sources. A
recording depends on its path, its length and the segment length, and speech on
the version of the engine too, but not on the seed of the corpus, the number of
jobs or the other recordings. So an interrupted run adds the missing ones.
"""

import csv
import zlib

import joblib
import numpy as np
from paths import replacing
from scipy.signal import resample_poly
from tqdm import tqdm

from simulate.acoustics import SUBSETS
from simulate.audio import FULL_SCALE, rms, write_pcm16
from simulate.sounds import SAMPLE_RATE, make_sound, read_sounds
from simulate.sources import COLUMNS
from simulate.speech import read_sentences, read_voices, synthesise

RECORDINGS_PER_VOICE = 5
RECORDINGS_PER_CLASS = {"train": 4, "val": 2, "test": 2}
SHORTEST_RECORDING_SECONDS = 12.0
SPEECH_RMS = 0.06  # of the active parts; recordings vary by up to 3 dB
SPEECH_SPREAD_DB = 3.0
SPEECH_PEAK = 0.9
# Shorter than Polish words are on average: texts are rarely too short.
CHARACTERS_PER_WORD = 6


def make_sources(folder, segment_seconds, n_jobs):
    """Makes the missing built-in sources and their table.

    Arguments
    ---------
    folder : pathlib.Path
        Folder for the recordings and sources.csv. The table is written when
        all recordings exist.
    segment_seconds : float
        Length of the mixtures; recordings are at least twice as long.
    n_jobs : int
        Number of processes.
    """
    plan = plan_sources(max(SHORTEST_RECORDING_SECONDS, 2 * segment_seconds))
    for parent in {(folder / row["filePath"]).parent for row in plan}:
        parent.mkdir(parents=True, exist_ok=True)
    missing = [row for row in plan if not (folder / row["filePath"]).exists()]
    tasks = (
        joblib.delayed(_make_recording)(folder, row, segment_seconds)
        for row in missing
    )
    made = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    for _ in tqdm(made, desc="making sources", total=len(missing)):
        pass
    with replacing(folder / "sources.csv") as [new]:
        with open(new, "w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(plan)


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
    """
    plan = [
        ("speech", v["subset"], "speech", v["speaker"], RECORDINGS_PER_VOICE)
        for v in read_voices()
    ]
    plan += [
        (role, subset, label, "", RECORDINGS_PER_CLASS[subset])
        for subset in SUBSETS
        for role, classes in read_sounds().items()
        for label in classes
    ]
    rows = []
    for role, subset, label, speaker, count in plan:
        stem = "".join(c if c.isalnum() else "_" for c in speaker or label)
        stem = stem.strip("_")
        source = "espeak-ng" if role == "speech" else "procedural"
        for number in range(1, count + 1):
            name = f"{role}/{subset}/{stem}/{stem}_{number}.wav"
            values = [subset, name, role, source, label, SAMPLE_RATE]
            values += [duration_seconds, 1, speaker]
            rows.append(dict(zip(COLUMNS, values)))
    return rows


def _make_recording(folder, row, segment_seconds):
    """Makes and writes one recording of the plan."""
    rng = np.random.default_rng(zlib.crc32(row["filePath"].encode()))
    if row["role"] == "speech":
        signal = _make_speech(rng, row)
    else:
        signal = make_sound(
            rng, row["role"], row["class"], row["duration"], segment_seconds
        )
    samples = np.rint(FULL_SCALE * signal).astype(np.int16)
    write_pcm16(folder / row["filePath"], samples, SAMPLE_RATE)


def _make_speech(rng, row):
    """One recording of a voice at its level."""
    voices = {voice["speaker"]: voice for voice in read_voices()}
    voice = voices[row["speaker"]]
    sentences = read_sentences()[row["subset"]]
    signal, sample_rate = _speak(rng, voice, sentences, row["duration"])
    signal = resample_poly(signal, SAMPLE_RATE, sample_rate)
    signal = signal[: round(row["duration"] * SAMPLE_RATE)]
    level_db = rng.uniform(-SPEECH_SPREAD_DB, SPEECH_SPREAD_DB)
    # Pauses are exact zeros and do not count for the level.
    active_rms = rms(signal[np.abs(signal) > 1e-4])
    signal = signal * SPEECH_RMS * 10 ** (level_db / 20) / active_rms
    return signal * min(1.0, SPEECH_PEAK / np.abs(signal).max())


def _speak(rng, voice, sentences, duration_seconds):
    """Speaks sentences in random order until a recording is filled."""
    order = rng.permutation(len(sentences))
    n_words = duration_seconds / 60 * int(voice["speed"])
    n_characters = n_words * CHARACTERS_PER_WORD
    while True:
        texts, length = [], 0
        while length < n_characters:
            texts.append(sentences[order[len(texts) % len(order)]])
            length += len(texts[-1])
        signal, sample_rate = synthesise(voice, "\n".join(texts))
        if len(signal) >= duration_seconds * sample_rate:
            return signal, sample_rate
        n_characters *= 1.3
