"""Segments of source recordings: drawing them, and checking their content.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import functools

import numpy as np

from simulate.acoustics import SSR_RANGE_DB
from simulate.audio import FULL_SCALE, read_mono, read_segment, rms
from simulate.sources import SimulationError

# Speech whose file would lie below -50 dBFS (RMS) is near-silent to the audit
# of prepare_polsess.py. A rendered file is softer than the segment that sets
# its level, that of speaker 1: by up to 5 dB for speaker 2 (SSR), and by up to
# 11 dB for the common gain of the clip check, as an event at full scale and
# its reverberation add up to at most 3.5 (measured: white noise, all rooms).
# Speaker 2 must be as loud, so that no noise is amplified with it.
NEAR_SILENT_DBFS = -50.0
CLIP_GAIN_DB = 11.0
MIN_SPEECH_DBFS = NEAR_SILENT_DBFS + SSR_RANGE_DB[1] + CLIP_GAIN_DB
# A frame of 20 ms is active when its level is within 30 dB of the loud frames
# of its recording (95th percentile) and not below -60 dBFS. Speech with its
# natural pauses is active for 0.7 to 0.95 of the time.
FRAME_SECONDS = 0.02
ACTIVE_RANGE_DB = 30.0
ACTIVE_FLOOR = 1e-3
MIN_ACTIVE_FRACTION = 0.5
# Below -60 dBFS at its peak a scene or an event counts as empty.
EMPTY_PEAK = 1e-3

MAX_DRAWS = 100
NO_SOUND = (
    "all (nearly) silent. Remove silent recordings from the sources table."
)

Segment = collections.namedtuple(
    "Segment", "position recording start end signal"
)
Segment.__doc__ = """A segment of a recording.

`position` is the recording's place in the list it was drawn from, `start` and
`end` count its samples from 1, `signal` is at the rate of the corpus.
"""


def active_fraction(signal, frame_samples, threshold):
    """Fraction of the frames of a signal that are louder than a threshold.

    Arguments
    ---------
    signal : numpy.ndarray
        Samples, shape [time].
    frame_samples : int
        Length of a frame; an incomplete last frame is left out.
    threshold : float
        RMS of a frame above which it is active.

    Returns
    -------
    fraction : float
        In [0, 1].

    Example
    -------
    >>> active_fraction(np.array([0.0, 0.0, 0.5, 0.5]), 2, 0.1)
    0.5
    """
    return float(np.mean(_frame_levels(signal, frame_samples) > threshold))


def _frame_levels(signal, frame_samples):
    """RMS of each complete frame, shape [frame]."""
    n_frames = len(signal) // frame_samples
    frames = signal[: n_frames * frame_samples].reshape(n_frames, -1)
    return np.sqrt(np.mean(np.square(frames), axis=1))


@functools.lru_cache(maxsize=4096)
def _active_threshold(path):
    """Frame level above which a speech recording counts as active."""
    signal, sample_rate = read_mono(path)
    levels = _frame_levels(signal, round(FRAME_SECONDS * sample_rate))
    loud = np.percentile(levels, 95)
    return max(ACTIVE_FLOOR, loud * 10 ** (-ACTIVE_RANGE_DB / 20))


def choice(rng, items):
    """Draws one of several items, all equally likely.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of the draw.
    items : sequence
        At least one.

    Returns
    -------
    item : object
        One of them.

    Example
    -------
    >>> choice(np.random.default_rng(0), ["only"])
    'only'
    """
    return items[int(rng.integers(len(items)))]


def draw_segment(rng, pool, sample_rate, recordings, is_speech, positions=None):
    """Draws a recording and a segment of it until the segment is usable.

    A speech segment is usable when its level is at least MIN_SPEECH_DBFS and
    it is active for MIN_ACTIVE_FRACTION of its time, any other when it is not
    empty. Raises SimulationError when MAX_DRAWS draws give none.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of the draws.
    pool : SourcePool
        To which the recordings belong.
    sample_rate : int
        Of the corpus, in Hz: the segment is judged at this rate.
    recordings : list of Recording
        To draw from, all equally likely.
    is_speech : bool
        Whether the segment must hold active speech.
    positions : sequence of int, optional
        Draws only recordings at these places of the list.

    Returns
    -------
    drawn : Segment
        The segment and where it is from.
    """
    if positions is None:
        positions = range(len(recordings))
    levels_dbfs = []
    for _ in range(MAX_DRAWS):
        position = int(choice(rng, positions))
        recording = recordings[position]
        length = pool.segment_frames(recording)
        start = 1 + int(rng.integers(recording.frames - length + 1))
        end = start + length - 1
        path = pool.folder / recording.path
        signal = read_segment(
            path, start, end, sample_rate, pool.segment_seconds
        )
        if is_speech:
            levels_dbfs.append(_level_dbfs(signal))
            usable = levels_dbfs[-1] >= MIN_SPEECH_DBFS and _is_active(
                signal, path, sample_rate
            )
        else:
            usable = np.abs(signal).max() >= EMPTY_PEAK
        if usable:
            return Segment(position, recording, start, end, signal)
    reason = _why_speech(levels_dbfs) if is_speech else NO_SOUND
    raise SimulationError(
        f"{pool.subset}: {MAX_DRAWS} {recording.role} segments of "
        f"{pool.segment_seconds:g} s drawn, {reason} (The last segment is "
        f"samples {start} to {end} of {recording.path}.)"
    )


def _level_dbfs(signal):
    """RMS of a signal in dB against full scale, at least that of one step."""
    return 20 * np.log10(max(rms(signal), 1 / FULL_SCALE))


def _is_active(signal, path, sample_rate):
    """Tells whether a segment of a speech recording holds enough speech."""
    threshold = _active_threshold(str(path))
    frame_samples = round(FRAME_SECONDS * sample_rate)
    active = active_fraction(signal, frame_samples, threshold)
    return active >= MIN_ACTIVE_FRACTION


def _why_speech(levels_dbfs):
    """Says why none of the speech segments of these levels was usable."""
    loudest = max(levels_dbfs)
    n_quiet = sum(level < MIN_SPEECH_DBFS for level in levels_dbfs)
    reasons = []
    if n_quiet:
        reasons.append(
            f"{n_quiet} of them too quiet: the loudest of all has "
            f"{loudest:.1f} dBFS (RMS), needed are {MIN_SPEECH_DBFS:g}"
        )
    if n_quiet < len(levels_dbfs):
        reasons.append(
            f"{len(levels_dbfs) - n_quiet} of them with speech in less than "
            f"{MIN_ACTIVE_FRACTION:.0%} of their time"
        )
    return (
        "; ".join(reasons) + ". Amplify quiet recordings, and remove those "
        "without speech from the sources table."
    )
