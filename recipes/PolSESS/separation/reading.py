"""Reads a file of a mixture, and refuses one that was changed meanwhile.

Hours or weeks lie between the audit of a corpus and the reading of a file.

Authors
 * The PolSESS recipe team 2026
"""

import functools
import os
import struct

import numpy as np
import soundfile
import torch

ADVICE = (
    "restore the file, or prepare the corpus again without --skip_prep and "
    "with --audit=full, which lists all such files; then the same command goes "
    "on from the last checkpoint"
)
PACKED_ADVICE = (
    "run the preparation again, that is without --skip_prep, or leave "
    "--packed_folder out; then the same command goes on from the last checkpoint"
)


def read_signal(mixture_id, path, sample_rate, frames, start, stop):
    """Reads a part of a file whose whole is known.

    Raises ValueError that names mixture, file, what was expected and found,
    when the file cannot be read, has not the declared length and rate, is not
    mono, or has samples that are not finite.

    Arguments
    ---------
    mixture_id : str
        ID of the mixture to which the file belongs.
    path : str
        The file.
    sample_rate : int
        Of the whole file, in Hz.
    frames : int
        Length of the whole file in samples.
    start : int
        The first sample to read.
    stop : int
        The sample behind the last one to read.

    Returns
    -------
    torch.Tensor
        [time], float32. 16-bit samples are exact.
    """
    whole = (1, sample_rate, frames)
    samples, problem = _read(path, whole, start, stop)
    if problem:
        raise ValueError(f"mixture {mixture_id}: {path}: {problem}; {ADVICE}")
    return _to_signal(samples[:, 0])


def read_packed(
    mixture_id, path, channels, wanted, sample_rate, frames, start, stop
):
    """Reads a part of a packed file, see ``audit.packing``.

    Raises ValueError as ``read_signal`` does.

    Arguments
    ---------
    mixture_id : str
        ID of the mixture.
    path : str
        The packed file.
    channels : list of str
        What its channels hold.
    wanted : list of str
        The channels to return.
    sample_rate, frames, start, stop : int
        See ``read_signal``.

    Returns
    -------
    dict
        Channel -> torch.Tensor, [time], as ``read_signal`` returns it.
    """
    whole = (len(channels), sample_rate, frames)
    samples, problem = _read(path, whole, start, stop)
    if problem:
        raise ValueError(
            f"mixture {mixture_id}: {path}: {problem}; {PACKED_ADVICE}"
        )
    # Apart first: to convert every second or tenth number takes twice as long.
    rows = samples.T[[channels.index(channel) for channel in wanted]]
    return dict(zip(wanted, _to_signal(rows)))


def _to_signal(samples):
    """float32 as libsndfile makes it, which takes several times as long."""
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32)
        samples *= 2.0**-15
    return torch.from_numpy(samples)


def _read(path, whole, start, stop):
    """Samples, [time, channel], and what is wrong; empty if nothing is."""
    try:
        samples = _read_plain(path, whole, start, stop)
    except OSError:
        samples = None
    if samples is not None:
        return samples, ""
    return _read_any(path, whole, start, stop)


def _read_plain(path, whole, start, stop):
    """Reads a WAV file of the plainest kind; None if it is not one.

    That takes a third of the time that libsndfile takes.
    """
    header = _plain_header(*whole)
    frame_bytes = 2 * whole[0]
    samples = np.empty((stop - start, whole[0]), "<i2")
    with open(path, "rb", buffering=0) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes != len(header) + whole[2] * frame_bytes:
            return None
        if file.read(len(header)) != header:
            return None
        if start:
            file.seek(len(header) + start * frame_bytes)
        return samples if file.readinto(samples) == samples.nbytes else None


@functools.lru_cache
def _plain_header(channels, sample_rate, frames):
    """What stands before the samples of a WAV file of 16 bit."""
    frame_bytes = 2 * channels
    n_bytes = frames * frame_bytes
    form = (1, channels, sample_rate, sample_rate * frame_bytes, frame_bytes)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + n_bytes, b"WAVE")
        + struct.pack("<4sIHHIIHH", b"fmt ", 16, *form, 16)
        + struct.pack("<4sI", b"data", n_bytes)
    )


def _read_any(path, whole, start, stop):
    """Reads whatever libsndfile can, or says what is wrong."""
    channels, sample_rate, frames = whole
    expected = _describe(frames, sample_rate, channels)
    try:
        # libsndfile hides that a file was cut: it then has fewer frames.
        with soundfile.SoundFile(path) as file:
            found = _describe(file.frames, file.samplerate, file.channels)
            if found == expected:
                file.seek(start)
                dtype = "int16" if file.subtype == "PCM_16" else "float32"
                samples = file.read(stop - start, dtype, always_2d=True)
                return samples, _problem(samples, stop - start)
    except (OSError, RuntimeError) as error:
        found = "no such file" if not os.path.exists(path) else error
    return None, f"expected {expected}, found {found}"


def _describe(frames, sample_rate, channels):
    return (
        f"{frames} samples at {sample_rate} Hz in "
        f"{channels} channel{'s' * (channels != 1)}"
    )


def _problem(samples, length):
    """What is wrong with samples that were read; empty if nothing is."""
    if len(samples) != length:
        return f"expected {length} samples more, found {len(samples)}"
    bad = np.count_nonzero(~np.isfinite(samples))
    return bad and f"expected finite samples, found {bad} NaN or infinite"
