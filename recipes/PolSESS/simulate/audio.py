"""Audio files of a corpus: reading, resampling, writing.

soundfile is used directly, so that workers start without loading torch and
integer samples reach the files unchanged.
"""

import contextlib
import functools
import math
import os

import numpy as np
import soundfile
from paths import replacing
from scipy.signal import firwin, resample_poly

from simulate.tables import SimulationError

FULL_SCALE = 32768  # of 16-bit PCM
PEAK_LIMIT = 0.999  # of the published generator, for sources and mixtures
BLOCK_SAMPLES = 4096


@contextlib.contextmanager
def open_audio(path):
    """Opens a recording; whatever fails while it is open names the file.

    Decoders such as libmpg123 write remarks to stderr past Python, into the
    progress bar: nothing is written there while the file is open.

    Arguments
    ---------
    path : pathlib.Path
        A file that libsndfile reads.

    Yields
    ------
    file : soundfile.SoundFile
    """
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        with soundfile.SoundFile(str(path)) as file:
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        reason = str(error).rpartition(": ")[2].strip(" .") or "no reason said"
        raise SimulationError(f"{path}: unreadable audio ({reason})") from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def count_missing(path):
    """Counts the samples that a header declares and the file does not have.

    Only the last sample is read, if it is there.

    Arguments
    ---------
    path : pathlib.Path
        A file that libsndfile opens.

    Returns
    -------
    n_missing : int
        In a damaged file, all samples from the damaged block on.
    """
    with contextlib.suppress(SimulationError), open_audio(path) as file:
        file.seek(max(0, file.frames - 1))
        if len(file.read(1)) == min(1, file.frames):
            return 0
    n_present = 0
    with contextlib.suppress(SimulationError), open_audio(path) as file:
        n_declared = file.frames
        while n_read := len(file.read(BLOCK_SAMPLES)):
            n_present += n_read
    return n_declared - n_present


def to_mono(channels):
    """Mean of the channels.

    Arguments
    ---------
    channels : numpy.ndarray
        Samples, shape [time, channel].

    Returns
    -------
    signal : numpy.ndarray
        Shape [time].

    Example
    -------
    >>> to_mono(np.array([[1.0, 3.0], [0.0, 1.0]]))
    array([2. , 0.5])
    """
    # Much faster than numpy's mean over an axis of one or two.
    return sum(channels.T) / channels.shape[1]


def read_mono(path, start=1, end=None):
    """Reads a recording, or samples start to end of it, as mono.

    Raises SimulationError for an unreadable or truncated file.

    Arguments
    ---------
    path : pathlib.Path
        A file that libsndfile reads.
    start : int
        First sample, counted from 1 as in MATLAB and the metadata.
    end : int, optional
        Last sample, included; the last of the file if None.

    Returns
    -------
    signal : numpy.ndarray
        Mean of the channels, float64 in [-1, 1), shape [end - start + 1].
    sample_rate : int
        In Hz.
    """
    with open_audio(path) as file:
        n_samples = (end or file.frames) - start + 1
        file.seek(start - 1)
        channels = file.read(n_samples, always_2d=True)
        sample_rate = file.samplerate
    if len(channels) < n_samples:
        raise SimulationError(
            f"{path}: expected {n_samples} samples from sample {start} on, "
            f"found {len(channels)}: it is truncated; copy it again, or "
            "remove its row from the sources table"
        )
    return to_mono(channels), sample_rate


@functools.lru_cache(maxsize=64)
def _low_pass(up, down):
    """The filter that scipy's resample_poly designs anew for each call."""
    n_side = 10 * max(up, down)
    return firwin(2 * n_side + 1, 1 / max(up, down), window=("kaiser", 5.0))


def resample(signal, to_rate, from_rate):
    """Changes the sample rate as scipy's resample_poly, with the same bits.

    Arguments
    ---------
    signal : numpy.ndarray
        float64, shape [time].
    to_rate, from_rate : int
        In Hz.

    Returns
    -------
    signal : numpy.ndarray
        Shape [time * to_rate / from_rate, rounded up].
    """
    divisor = math.gcd(to_rate, from_rate)
    up, down = to_rate // divisor, from_rate // divisor
    if up == down:
        return signal
    return resample_poly(signal, up, down, window=_low_pass(up, down))


class SegmentReader:
    """Reads segments of recordings as components of mixtures.

    Arguments
    ---------
    folder : pathlib.Path
        Folder from which relative paths start.
    sample_rate : int
        Sample rate of the corpus in Hz.
    segment_seconds : float
        Length of the mixtures in seconds.
    """

    def __init__(self, folder, sample_rate, segment_seconds):
        self.folder = folder
        self.sample_rate = sample_rate
        self.segment_seconds = segment_seconds

    def read(self, path, start, end, gain_db=0.0):
        """Reads a segment: mono, resampled, amplified, limited.

        Arguments
        ---------
        path : str
            Path of the recording, as in the sources table.
        start : int
            First sample of the recording, counted from 1.
        end : int
            Last sample of the recording, included.
        gain_db : float
            Gain of the recording, as in the sources table.

        Returns
        -------
        segment : numpy.ndarray
            Samples within +-PEAK_LIMIT, shape [segment_seconds * sample_rate].
        """
        signal, from_rate = read_mono(self.folder / path, start, end)
        signal = resample(signal, self.sample_rate, from_rate)
        n_samples = round(self.segment_seconds * self.sample_rate)
        # Rounding can make a resampled segment a sample longer or shorter.
        n_missing = max(0, n_samples - len(signal))
        signal = np.pad(signal[:n_samples], (0, n_missing))
        signal *= 10 ** (gain_db / 20)
        return np.clip(signal, -PEAK_LIMIT, PEAK_LIMIT)


def rms(signal):
    """Root mean square of a signal.

    Arguments
    ---------
    signal : numpy.ndarray
        Samples, any shape.

    Returns
    -------
    level : float
        On the scale of the signal.

    Example
    -------
    >>> rms(np.array([3.0, -3.0]))
    3.0
    """
    return float(np.sqrt(np.mean(np.square(signal))))


def write_pcm16(path, samples, sample_rate):
    """Writes 16-bit samples as a WAV file that appears only when complete.

    Arguments
    ---------
    path : pathlib.Path
        File to write; an older one is replaced.
    samples : numpy.ndarray
        dtype int16, shape [time].
    sample_rate : int
        In Hz.
    """
    assert samples.dtype == np.int16, samples.dtype
    with replacing(path) as [new]:
        soundfile.write(
            str(new), samples, sample_rate, subtype="PCM_16", format="WAV"
        )
