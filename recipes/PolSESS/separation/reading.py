"""Reads a file of a mixture, and refuses one that was changed meanwhile.

Hours or weeks lie between the audit of a corpus and the reading of a file.

Authors
 * The PolSESS recipe team 2026
"""

import os

import numpy as np
import soundfile
import torch

ADVICE = (
    "restore the file, or prepare the corpus again without --skip_prep and "
    "with --audit=full, which lists all such files; then the same command goes "
    "on from the last checkpoint"
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
    expected = f"{frames} samples at {sample_rate} Hz in 1 channel"
    try:
        # libsndfile hides that a file was cut: it then has fewer frames.
        with soundfile.SoundFile(path) as file:
            found = (
                f"{file.frames} samples at {file.samplerate} Hz in "
                f"{file.channels} channel{'s' * (file.channels != 1)}"
            )
            if found == expected:
                file.seek(start)
                signal = file.read(stop - start, dtype="float32")
                problem = _problem(signal, stop - start)
            else:
                problem = f"expected {expected}, found {found}"
    except (OSError, RuntimeError) as error:
        found = "no such file" if not os.path.exists(path) else error
        problem = f"expected {expected}, found {found}"
    if problem:
        raise ValueError(f"mixture {mixture_id}: {path}: {problem}; {ADVICE}")
    return torch.from_numpy(signal)


def _problem(signal, length):
    """What is wrong with samples that were read; empty if nothing is."""
    if len(signal) != length:
        return f"expected {length} samples more, found {len(signal)}"
    bad = np.count_nonzero(~np.isfinite(signal))
    return bad and f"expected finite samples, found {bad} NaN or infinite"
