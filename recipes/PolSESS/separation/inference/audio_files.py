"""Reads recordings block by block, and writes sources completely or not at all.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import math
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.functional import resample

BLOCK_SECONDS = 10
HIDDEN = "."  # begins the name of a file that is being written
MOST_WAV_BYTES = 2**32 - 2**20  # what the header of a WAV file can say


class Recording:
    """A recording in any format that libsndfile reads, as the model takes it.

    Channels are averaged, and another sample rate is converted block by block,
    with the same result as of the whole recording.

    Raises ValueError when it cannot be used: it is no audio, is empty, or cannot
    be opened.

    Arguments
    ---------
    path : str or Path
        The file.
    sample_rate : int
        At which samples are returned, in Hz.

    Example
    -------
    >>> soundfile.write("recording.wav", np.zeros((441, 2)), 44100)
    >>> recording = Recording("recording.wav", 8000)
    >>> recording.length, recording.changes
    (80, ['2 channels averaged', '44100 Hz resampled to 8000 Hz'])
    >>> [len(block) for block in recording.blocks()]
    [80]
    >>> os.remove("recording.wav")
    """

    def __init__(self, path, sample_rate):
        self.path = Path(path)
        self.sample_rate = sample_rate
        try:
            with open(path, "rb"):
                pass  # libsndfile does not tell why it cannot open a file
            info = soundfile.info(str(path))
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from error
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{path}: expected audio that libsndfile reads (WAV, FLAC, OGG, "
                f"MP3 ...): {error.error_string}"
            ) from error
        if info.frames == 0:
            raise ValueError(f"{path}: expected samples, found none")
        self.frames = info.frames
        self.channels = info.channels
        self.file_rate = info.samplerate
        common = math.gcd(self.file_rate, sample_rate)
        self.step = self.file_rate // common  # in the file
        self.model_step = sample_rate // common
        self.length = math.ceil(self.frames * self.model_step / self.step)

    @property
    def changes(self):
        """What is done to it, in words; a list, empty if nothing."""
        changes = []
        if self.channels > 1:
            changes.append(f"{self.channels} channels averaged")
        if self.file_rate != self.sample_rate:
            changes.append(
                f"{self.file_rate} Hz resampled to {self.sample_rate} Hz"
            )
        return changes

    def blocks(self):
        """The samples, block by block.

        Raises ValueError where a sample is not finite, or the file ends before
        its header says.

        Yields
        ------
        torch.Tensor
            [time], float32; in all ``length`` samples.
        """
        # The filter sees a few steps to each side, less than this context.
        context = self.step * math.ceil(64 / min(self.step, self.model_step))
        if self.file_rate == self.sample_rate:
            context = 0
        size = self.step * math.ceil(BLOCK_SECONDS * self.file_rate / self.step)
        with soundfile.SoundFile(str(self.path)) as file:
            for start in range(0, self.frames, size):
                begin = max(0, start - context)
                end = min(self.frames, start + size + context)
                samples = self._read(file, begin, end)
                samples = resample(samples, self.file_rate, self.sample_rate)
                skip = (start - begin) // self.step * self.model_step
                length = size // self.step * self.model_step
                yield samples[skip : skip + length]

    def _read(self, file, begin, end):
        """Some samples of the file, [time], its channels averaged."""
        try:
            file.seek(begin)
            samples = file.read(end - begin, "float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{self.path}: damaged after {begin / self.file_rate:.1f} s: "
                f"{error.error_string}"
            ) from error
        if len(samples) < end - begin:
            raise ValueError(
                f"{self.path}: expected {self.frames} samples, found "
                f"{begin + len(samples)}: the file was cut"
            )
        if not np.isfinite(samples).all():
            raise ValueError(
                f"{self.path}: expected finite samples, found NaN or inf "
                f"between {begin / self.file_rate:.1f} and "
                f"{end / self.file_rate:.1f} s"
            )
        return torch.from_numpy(samples).mean(1)


class SourceFiles:
    """WAV files of the sources of a recording, in 32-bit floats.

    They are written under hidden names, scaled in place once the level is known,
    and renamed when they are complete. Whatever happens before leaves nothing
    behind.

    Arguments
    ---------
    paths : list of Path
        A file for each source; their folders are made.
    sample_rate : int
        In Hz.
    length : int
        In samples, as far as it is known.
    """

    def __init__(self, paths, sample_rate, length):
        self.paths = [Path(path) for path in paths]
        self.hidden = [p.with_name(f"{HIDDEN}{p.name}.part") for p in paths]
        is_long = 4 * length > MOST_WAV_BYTES
        self.options = {
            "samplerate": sample_rate,
            "channels": 1,
            "subtype": "FLOAT",
            "format": "RF64" if is_long else "WAV",
        }
        self.files = []
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            for path in self.hidden:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()  # libsndfile does not tell why it cannot
                file = soundfile.SoundFile(str(path), "w+", **self.options)
                self.files.append(self.stack.enter_context(file))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def write(self, estimates):
        """Appends to the files.

        Raises OSError when the disk is full.

        Arguments
        ---------
        estimates : torch.Tensor
            [time, source]
        """
        for file, source in zip(self.files, estimates.t().numpy()):
            _write(file, source)

    def scale(self, factors):
        """Multiplies what was written.

        Arguments
        ---------
        factors : torch.Tensor
            [source]
        """
        for file, factor in zip(self.files, factors.tolist()):
            position, frames = 0, file.frames
            while position < frames:
                file.seek(position)
                block = file.read(2**20, "float32")
                file.seek(position)
                _write(file, block * np.float32(factor))
                position += len(block)

    def __exit__(self, kind, error, trace):
        try:
            lengths = [file.frames for file in self.files]
            self.stack.close()
            if error is None:
                self._check(lengths)
                for hidden, path in zip(self.hidden, self.paths):
                    os.replace(hidden, path)
        finally:
            for hidden in self.hidden:
                hidden.unlink(missing_ok=True)

    def _check(self, lengths):
        """Raises OSError where a file has not all that was written."""
        for hidden, length in zip(self.hidden, lengths):
            if hidden.stat().st_size < 4 * length:
                raise OSError(f"{hidden} is not complete; is the disk full?")


def _write(file, samples):
    """Writes samples; libsndfile does not tell of a full disk by itself."""
    try:
        file.write(samples)
    except (AssertionError, soundfile.SoundFileError) as error:
        raise OSError(
            f"{file.name} cannot be written; is the disk full?"
        ) from error
