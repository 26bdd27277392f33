"""Audio files of a corpus: reading, resampling, writing.

soundfile is used directly, so that workers start without loading torch and
integer samples reach the files unchanged.
"""

import contextlib
import os

import numpy as np
import soundfile
from scipy.signal import resample_poly

FULL_SCALE = 32768  # of 16-bit PCM
PEAK_LIMIT = 0.999  # of the published generator, for sources and mixtures


def read_mono(path, start=1, end=None):
    """Reads a recording, or samples start to end of it, as mono.

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
    signal, sample_rate = soundfile.read(
        str(path), start=start - 1, stop=end, always_2d=True
    )
    return signal.mean(axis=1), sample_rate


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

    def read(self, path, start, end):
        """Reads a segment: mono, resampled, limited.

        Arguments
        ---------
        path : str
            Path of the recording, as in the sources table.
        start : int
            First sample of the recording, counted from 1.
        end : int
            Last sample of the recording, included.

        Returns
        -------
        segment : numpy.ndarray
            Samples within +-PEAK_LIMIT, shape [segment_seconds * sample_rate].
        """
        signal, from_rate = read_mono(self.folder / path, start, end)
        signal = resample_poly(signal, self.sample_rate, from_rate)
        n_samples = round(self.segment_seconds * self.sample_rate)
        # Rounding can make a resampled segment a sample longer or shorter.
        n_missing = max(0, n_samples - len(signal))
        signal = np.pad(signal[:n_samples], (0, n_missing))
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


@contextlib.contextmanager
def replacing(path):
    """Lets a file appear only when it is complete.

    Arguments
    ---------
    path : pathlib.Path
        Final path; an older file is replaced.

    Yields
    ------
    partial : pathlib.Path
        Hidden path to write to, ending in ".partial". It is renamed at the
        end, or left behind by an error or a kill.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    yield partial
    os.replace(partial, path)


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
    with replacing(path) as partial:
        soundfile.write(
            str(partial), samples, sample_rate, subtype="PCM_16", format="WAV"
        )
