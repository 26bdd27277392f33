"""Segments of source recordings: drawing them, and judging their content.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import functools

import numpy as np

from simulate.audio import read_mono, read_segment
from simulate.errors import CorpusError

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

    A speech segment is usable when it is active for MIN_ACTIVE_FRACTION of
    its time, any other when it is not empty. Raises CorpusError when
    MAX_DRAWS draws give none.

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
            threshold = _active_threshold(str(path))
            frame = round(FRAME_SECONDS * sample_rate)
            active = active_fraction(signal, frame, threshold)
            usable = active >= MIN_ACTIVE_FRACTION
        else:
            usable = np.abs(signal).max() >= EMPTY_PEAK
        if usable:
            return Segment(position, recording, start, end, signal)
    raise CorpusError(
        f"{pool.subset}: {MAX_DRAWS} {recording.role} segments of "
        f"{pool.segment_seconds:g} s drawn, all (nearly) silent; the last is "
        f"samples {start} to {end} of {recording.path}. Remove silent "
        "recordings from the sources table."
    )
