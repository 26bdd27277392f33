"""Reads recordings once: header, levels, content.

All samples are read, because a header says neither whether the file is whole
nor how loud it is.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import contextlib
import hashlib
import os

import numpy as np
import soundfile
from simulate.audio import FULL_SCALE, PEAK_LIMIT
from simulate.sources import DURATION_TOLERANCE_SECONDS

FRAME_SECONDS = 0.02
ACTIVE_RANGE_DB = 30.0  # below the loud frames, the 95th percentile
BLOCK_FRAMES = 1000  # of 20 ms, read at a time
SPEECH_DBFS = -26.0  # active speech level of ITU-T P.56 test material
# A scene or event below -50 dBFS is raised to -40: its segments would often
# count as empty, which is a peak below -60 dBFS.
QUIET_DBFS = -50.0
RAISED_DBFS = -40.0
# More would raise the rounding of 16 bits too: 30 dB below the speech.
MAX_GAIN_DB = 40.0

# `power` is the mean square of the `n_active` active frames of the mean of the
# channels, `peak` its largest magnitude; `digest` is equal for equal samples.
Measured = collections.namedtuple(
    "Measured", "sample_rate frames channels power n_active peak digest reason"
)


def measure(path, header_only=False):
    """Reads a recording.

    Arguments
    ---------
    path : pathlib.Path
        An audio file.
    header_only : bool
        Leaves the levels at 0.

    Returns
    -------
    measured : Measured
        With a reason if the file cannot be used.
    """
    try:
        with _quiet(path), soundfile.SoundFile(str(path)) as file:
            header = file.samplerate, file.frames, file.channels
            if header_only:
                return Measured(*header, 0.0, 0, 0.0, b"", "")
            return _measure(file)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        text = f"unreadable ({str(error).rpartition(': ')[2].strip(' .')})"
        return Measured(0, 0, 0, 0.0, 0, 0.0, b"", text)


@contextlib.contextmanager
def _quiet(path):
    """Silences libmpg123, which writes to stderr past Python."""
    if path.suffix.lower() != ".mp3":
        yield
        return
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _measure(file):
    """The same for an open file."""
    frame_samples = max(1, round(FRAME_SECONDS * file.samplerate))
    powers, peak, digest, n_read = [], 0.0, hashlib.sha1(), 0
    while True:
        block = file.read(BLOCK_FRAMES * frame_samples, "float32", True)
        if not len(block):
            break
        n_read += len(block)
        digest.update(block.tobytes())
        mono = block.mean(axis=1, dtype=np.float64)
        peak = max(peak, float(np.abs(mono).max()))
        # A shorter last frame counts only if it is the only one.
        n_frames = len(mono) // frame_samples
        if not n_frames and not powers:
            n_frames, frame_samples = 1, len(mono)
        mono = mono[: n_frames * frame_samples].reshape(n_frames, -1)
        powers.append(np.mean(np.square(mono), axis=1))
    header = file.samplerate, n_read, file.channels
    # The header of an mp3 may be an estimate; make_corpus.py allows as much.
    is_estimate = file.format == "MP3"
    tolerance = is_estimate * DURATION_TOLERANCE_SECONDS * file.samplerate
    reason = ""
    if not np.isfinite(peak) or not all(np.isfinite(p).all() for p in powers):
        reason = "unreadable (NaN or infinite samples)"
    elif n_read < file.frames - tolerance:
        reason = "unreadable (ends before the length in its header)"
    elif not n_read:
        reason = "unreadable (no samples)"
    if reason:
        return Measured(*header, 0.0, 0, 0.0, b"", reason)
    powers = np.concatenate(powers)
    loud = np.percentile(powers, 95)
    active = powers[powers >= loud * 10 ** (-ACTIVE_RANGE_DB / 10)]
    power = float(active.mean())
    return Measured(*header, power, len(active), peak, digest.digest(), "")


def gain_to_level(role, power, peak):
    """Gain that brings a recording to the common level of its role.

    Arguments
    ---------
    role : str
        "speech", "envScene" or "events".
    power : float
        Mean square of the active frames.
    peak : float
        Largest magnitude.

    Returns
    -------
    gain_db : float
        Rounded to 0.1 dB; less where the peak would be limited; None if the
        recording is too quiet.

    Example
    -------
    >>> gain_to_level("speech", 10 ** (-36 / 10), 0.1)
    10.0
    >>> gain_to_level("envScene", 10 ** (-36 / 10), 0.1)
    0.0
    """
    # At least the power of one step of 16 bits, as silence has no logarithm.
    level_dbfs = 10 * np.log10(max(power, FULL_SCALE**-2.0))
    target_dbfs = SPEECH_DBFS
    if role != "speech":
        target_dbfs = RAISED_DBFS if level_dbfs < QUIET_DBFS else level_dbfs
    gain_db = round(float(target_dbfs - level_dbfs), 1)
    if gain_db > MAX_GAIN_DB:
        return None
    headroom_db = 20 * np.log10(PEAK_LIMIT / max(peak, 1 / FULL_SCALE))
    if gain_db > headroom_db:
        # What is limited already is not made quieter for it.
        gain_db = min(gain_db, max(0.0, float(np.floor(10 * headroom_db)) / 10))
    return gain_db
