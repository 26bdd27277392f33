"""Audio files of a corpus: reading, resampling, writing.

soundfile is used directly, so that workers start without loading torch and
integer samples reach the files unchanged.
"""

import contextlib
import os

import numpy as np
import soundfile
from paths import replacing
from recordings.reader import AudioFile, quiet
from recordings.resampling import resample

from simulate.tables import SimulationError

FULL_SCALE = 32768  # of 16-bit PCM
PEAK_LIMIT = 0.999  # of the published generator, for sources and mixtures


@contextlib.contextmanager
def open_audio(path):
    """Opens a recording; whatever fails while it is open names the file.

    Arguments
    ---------
    path : pathlib.Path
        A file that libsndfile reads.

    Yields
    ------
    file : soundfile.SoundFile
    """
    try:
        with quiet(path), soundfile.SoundFile(os.fsencode(path)) as file:
            yield file
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        reason = str(error).rpartition(": ")[2].strip(" .") or "no reason said"
        raise SimulationError(f"{path}: unreadable audio ({reason})") from error


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
        sample_rate, end = file.samplerate, end or file.frames
        n_samples, channels = end - start + 1, ()
        with contextlib.suppress(soundfile.SoundFileError):
            file.seek(start - 1)
            channels = file.read(n_samples, always_2d=True)
        if len(channels) < n_samples:
            # Beyond what libsndfile finds, or where it cannot seek.
            blocks = AudioFile(path).blocks(end, "float64")
            channels = next(blocks, np.empty((0, 1)))[start - 1 :]
    if len(channels) < n_samples:
        raise SimulationError(
            f"{path}: expected {n_samples} samples from sample {start} on, "
            f"found {len(channels)}: it is truncated; copy it again, or "
            "remove its row from the sources table"
        )
    return to_mono(channels), sample_rate


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
