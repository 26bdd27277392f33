"""Segments of source recordings: drawing them, and checking their content."""

import collections
import functools

import numpy as np
from recordings.reader import AudioFile

from simulate.acoustics import SSR_RANGE_DB
from simulate.audio import FULL_SCALE, open_audio, rms, to_mono
from simulate.tables import SimulationError

# The audit of prepare_polsess.py reports speech files below -50 dBFS (RMS). A
# file is softer than the segment of speaker 1, which sets the level: by up to
# 5 dB for speaker 2 (SSR), and by up to 11 dB where the mixture is limited: an
# event at full scale and its reverberation add up to at most 3.5 (measured:
# white noise, all rooms). Speaker 2 must be as loud, not to amplify its noise.
NEAR_SILENT_DBFS = -50.0
CLIP_GAIN_DB = 11.0
MIN_SPEECH_DBFS = NEAR_SILENT_DBFS + SSR_RANGE_DB[1] + CLIP_GAIN_DB
# A frame of 20 ms is active when its level is within 30 dB of the loud frames
# of its recording (95th percentile) and not below -60 dBFS. Speech with its
# natural pauses is active for 0.7 to 0.95 of the time.
FRAME_SECONDS = 0.02
BLOCK_FRAMES = 500  # read at a time
ACTIVE_RANGE_DB = 30.0
ACTIVE_FLOOR = 1e-3
MIN_ACTIVE_FRACTION = 0.5
# Below -60 dBFS at its peak a scene or an event counts as empty.
EMPTY_PEAK = 1e-3

MAX_DRAWS = 100
NO_SOUND = "all silent. Remove silent recordings from the sources table."

# `start` and `end` count the samples of the recording from 1; `signal` has the
# sample rate of the corpus.
Segment = collections.namedtuple("Segment", "recording start end signal")


def _frame_levels(signal, frame_samples):
    """RMS of each complete frame, shape [frame]."""
    n_frames = len(signal) // frame_samples
    frames = signal[: n_frames * frame_samples].reshape(-1, frame_samples)
    return np.sqrt(np.mean(np.square(frames), axis=1))


@functools.lru_cache(maxsize=4096)
def _loud_level(path):
    """Level of the loud frames of a recording, of which a block is in memory."""
    levels = []
    with open_audio(path) as file:
        frame_samples = round(FRAME_SECONDS * file.samplerate)
        n_block = BLOCK_FRAMES * frame_samples
        for block in AudioFile(path).blocks(n_block, "float64"):
            levels.append(_frame_levels(to_mono(block), frame_samples))
    return np.percentile(np.concatenate(levels), 95)


def draw_segment(rng, pool, recordings):
    """Draws a recording and a segment of it until the segment is usable.

    Speech must have a level of MIN_SPEECH_DBFS and be active for
    MIN_ACTIVE_FRACTION of its time; other segments must not be empty. Raises
    SimulationError when MAX_DRAWS draws give none.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of the draws.
    pool : SourcePool
        Pool of the recordings.
    recordings : sequence of Recording
        Recordings of one role, all equally likely.

    Returns
    -------
    drawn : Segment
        The segment and its origin.
    """
    reader, levels_dbfs = pool.reader, []
    is_speech = recordings[0].role == "speech"
    for _ in range(MAX_DRAWS):
        recording = recordings[rng.integers(len(recordings))]
        length = round(reader.segment_seconds * recording.sample_rate)
        start = 1 + int(rng.integers(recording.frames - length + 1))
        end = start + length - 1
        try:
            gain_db = recording.gain_db
            signal = reader.read(recording.path, start, end, gain_db)
        except SimulationError as error:
            place = f"line {recording.line} of the sources table"
            raise SimulationError(f"{place}: {error}") from error
        if is_speech:
            # At least the level of one step, as silence has no logarithm.
            level = max(rms(signal), 1 / FULL_SCALE)
            levels_dbfs.append(20 * np.log10(level))
            usable = levels_dbfs[-1] >= MIN_SPEECH_DBFS and _is_active(
                signal, reader, recording
            )
        else:
            usable = np.abs(signal).max() >= EMPTY_PEAK
        if usable:
            return Segment(recording, start, end, signal)
    reason = _why_speech(levels_dbfs) if is_speech else NO_SOUND
    raise SimulationError(
        f"{pool.subset}: {MAX_DRAWS} {recording.role} segments of "
        f"{reader.segment_seconds:g} s drawn, {reason} (The last segment is "
        f"samples {start} to {end} of {recording.path}.)"
    )


def _is_active(signal, reader, recording):
    """Tells whether a segment of a speech recording holds enough speech."""
    frame_samples = round(FRAME_SECONDS * reader.sample_rate)
    levels = _frame_levels(signal, frame_samples)
    range_db = recording.gain_db - ACTIVE_RANGE_DB
    loud = _loud_level(reader.folder / recording.path)
    threshold = max(ACTIVE_FLOOR, loud * 10 ** (range_db / 20))
    return np.mean(levels > threshold) >= MIN_ACTIVE_FRACTION


def _why_speech(levels_dbfs):
    """Says why none of the speech segments of these levels was usable."""
    n_quiet = sum(level < MIN_SPEECH_DBFS for level in levels_dbfs)
    n_inactive = len(levels_dbfs) - n_quiet
    reasons = []
    if n_quiet:
        reasons.append(
            f"{n_quiet} of them too quiet: the loudest of all has "
            f"{max(levels_dbfs):.1f} dBFS (RMS), needed are "
            f"{MIN_SPEECH_DBFS:g}"
        )
    if n_inactive:
        reasons.append(
            f"{n_inactive} of them with speech in less than "
            f"{MIN_ACTIVE_FRACTION:.0%} of their time"
        )
    return (
        "; ".join(reasons) + ". Amplify quiet recordings, and remove those "
        "without speech from the sources table."
    )
