"""Reads recordings once: header, levels, content.

All samples are read, because a header says neither whether the file is whole
nor how loud it is.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import hashlib

import numpy as np
from recordings.reader import AudioFile
from simulate.audio import FULL_SCALE, PEAK_LIMIT
from tqdm import tqdm

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
        file = AudioFile(path)
        if not header_only:
            return _measure(file)
    except (ValueError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ").strip(" .")
        return Measured(0, 0, 0, 0.0, 0, 0.0, b"", f"unreadable ({reason})")
    header = file.sample_rate, file.frames, file.channels
    return Measured(*header, 0.0, 0, 0.0, b"", "")


def _measure(file):
    """The same for an AudioFile of which all samples are read."""
    frame_samples = max(1, round(FRAME_SECONDS * file.sample_rate))
    powers, peak, digest = [], 0.0, hashlib.sha1()
    for block in file.blocks(BLOCK_FRAMES * frame_samples):
        digest.update(block.tobytes())
        mono = block.mean(axis=1, dtype=np.float64)
        peak = max(peak, float(np.abs(mono).max()))
        # A shorter last frame counts only if it is the only one.
        n_frames = len(mono) // frame_samples
        if not n_frames and not powers:
            n_frames, frame_samples = 1, len(mono)
        mono = mono[: n_frames * frame_samples].reshape(n_frames, -1)
        powers.append(np.mean(np.square(mono), axis=1))
    header = file.sample_rate, file.frames, file.channels
    reason = ""
    if not np.isfinite(peak) or not all(np.isfinite(p).all() for p in powers):
        reason = "unreadable (NaN or infinite samples)"
    elif file.is_short:
        reason = "unreadable (cut or damaged)"
    elif not file.frames:
        reason = "unreadable (no samples)"
    if file.claimed and file.remark:
        tqdm.write(f"{file.path}: {file.remark}")
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
