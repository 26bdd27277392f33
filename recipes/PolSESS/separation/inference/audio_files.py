"""Reads recordings; writes sources completely or not at all.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import itertools
import math
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from paths import replacing
from recordings.reader import AudioFile
from recordings.resampling import resample

BLOCK_SECONDS = 10
# The average of unrelated channels keeps 1 / n of their mean energy.
LEAST_SHARE = 0.5  # of that
MARK = "separated by the PolSESS recipe"  # in the comment of outputs
MOST_WAV_BYTES = 2**32 - 2**20  # sizes are 32-bit in the header


class Recording:
    """A recording, read block by block in the format of the model.

    Channels are averaged, or one is taken where they cancel each other. Another
    sample rate is converted block by block, with the same result as for the whole
    recording.

    Raises ValueError when the file is not audio, cannot be opened, or lacks the
    channel.

    Arguments
    ---------
    path : str or Path
        File in any format that libsndfile reads.
    sample_rate : int
        Sample rate of the model in Hz.
    channel : int, optional
        The channel to take, counted from 1.
    allow_truncated : bool
        Whether what is left of a recording that was cut is taken.

    Example
    -------
    >>> soundfile.write("recording.wav", np.ones((441, 2)), 44100)
    >>> recording = Recording("recording.wav", 8000)
    >>> recording.survey()
    >>> recording.length, recording.changes
    (80, ['2 channels averaged', '44100 Hz resampled to 8000 Hz'])
    >>> [len(block) for block in recording.blocks()]
    [80]
    >>> os.remove("recording.wav")
    """

    def __init__(self, path, sample_rate, channel=None, allow_truncated=False):
        self.path = Path(path)
        self.file = AudioFile(path)
        self.sample_rate = sample_rate
        self.channel = channel
        self.allow_truncated = allow_truncated
        if channel and channel > self.file.channels:
            raise ValueError(
                f"{path}: expected channel {channel}, found "
                f"{self.file.channels} channel(s)"
            )
        common = math.gcd(self.file.sample_rate, sample_rate)
        # As many samples of the file as of the model.
        self.step = self.file.sample_rate // common
        self.model_step = sample_rate // common
        n_steps = math.ceil(BLOCK_SECONDS * self.file.sample_rate / self.step)
        self.block_size = n_steps * self.step
        self.changes = []  # conversions, in words

    @property
    def length(self):
        """Samples at the rate of the model; a guess before the survey."""
        return math.ceil(self.file.frames * self.model_step / self.step)

    def survey(self):
        """Reads the recording once, before it is separated.

        Raises ValueError when it is empty, has samples that are not finite, or is
        truncated and this is not allowed.
        """
        rate, n_channels = self.file.sample_rate, self.file.channels
        sums, products = np.zeros(n_channels), np.zeros((n_channels,) * 2)
        blocks = self.file.blocks(self.block_size, "float64")
        for start, block in zip(itertools.count(0, self.block_size), blocks):
            if not np.isfinite(block).all():
                raise ValueError(
                    f"{self.path}: expected finite samples, found NaN or inf "
                    f"between {start / rate:.1f} and "
                    f"{(start + len(block)) / rate:.1f} s"
                )
            sums += block.sum(0)
            products += block.T @ block
        remark = self.file.remark
        if self.file.is_short and not self.allow_truncated:
            raise ValueError(
                f"{self.path}: {remark}: the file was cut or damaged; "
                "--allow_truncated takes what is left"
            )
        if self.file.frames == 0:
            raise ValueError(f"{self.path}: expected samples, found none")
        reason = ""
        if n_channels > 1 and not self.channel:
            means = sums / self.file.frames
            products = products / self.file.frames - np.outer(means, means)
            energies = products.diagonal()
            share = products.mean() / max(energies.mean(), 1e-30)
            if energies.any() and share * n_channels < LEAST_SHARE:
                self.channel = int(energies.argmax()) + 1
                reason = (
                    f": the average keeps {100 * share:.1f} % of the energy, "
                    "out of phase? --channel chooses"
                )
        if n_channels > 1 and self.channel:
            taken = f"channel {self.channel} of {n_channels} taken{reason}"
            self.changes.append(taken)
        elif n_channels > 1:
            self.changes.append(f"{n_channels} channels averaged")
        if rate != self.sample_rate:
            self.changes.append(f"{rate} Hz resampled to {self.sample_rate} Hz")
        if remark:
            self.changes.append(remark)

    def blocks(self):
        """Reads the samples.

        Yields
        ------
        torch.Tensor
            [time], float32; in all ``length`` samples.
        """
        # The resampling filter reaches less far to each side.
        reach = 10 * max(1, self.step / self.model_step) + 1
        context = self.step * math.ceil(reach / self.step)
        skip = context // self.step * self.model_step
        before, current = np.zeros(context), np.empty(0)
        blocks = self.file.blocks(self.block_size)
        for after in itertools.chain(map(self._mono, blocks), [np.empty(0)]):
            if len(current):
                signal = np.concatenate([before, current, after[:context]])
                signal = resample(
                    signal, self.sample_rate, self.file.sample_rate
                )
                length = math.ceil(len(current) * self.model_step / self.step)
                signal = signal[skip : skip + length].astype(np.float32)
                yield torch.from_numpy(signal)
                before = current[-context:]
            current = after

    def _mono(self, block):
        """One channel, or the average, of a block [time, channel]."""
        return block[:, self.channel - 1] if self.channel else block.mean(1)


@contextlib.contextmanager
def source_files(paths, sample_rate, length, overwrite=True):
    """Opens a WAV file of 32-bit floats for each source of a recording.

    They get their names together at the end of the with block; after an error in
    it they are deleted.

    Raises OSError when a file cannot be written, or is there at the end and may
    not be overwritten.

    Arguments
    ---------
    paths : list of Path
        A file for each source; folders are created.
    sample_rate : int
        In Hz.
    length : int
        Expected length in samples.
    overwrite : bool
        Whether files that exist are replaced.

    Yields
    ------
    list of soundfile.SoundFile
        For ``write`` and ``scale``.
    """
    format_ = "RF64" if 4 * length > MOST_WAV_BYTES else "WAV"
    options = {"format": format_, "subtype": "FLOAT", "channels": 1}
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with replacing(*paths, may_exist=overwrite) as hidden:
        with contextlib.ExitStack() as stack:
            files = []
            for path in hidden:
                path.touch()  # libsndfile does not say why it cannot open it
                file = soundfile.SoundFile(
                    os.fsencode(path), "w+", sample_rate, **options
                )
                files.append(stack.enter_context(file))
            yield files
            sizes = [4 * file.frames for file in files]
            for path, size, file in zip(hidden, sizes, files):
                file.flush()
                _check_size(path, size)
                file.comment = MARK  # at the end of the file
        for path, size in zip(hidden, sizes):
            _check_size(path, size + len(MARK))


def _check_size(path, n_bytes):
    """Raises OSError when a file is shorter than what was written to it."""
    if path.stat().st_size < n_bytes:
        raise OSError(f"{path} is incomplete; is the disk full?")


def write(files, estimates):
    """Appends a part of the estimates to the files of the sources.

    Raises OSError when the disk is full.

    Arguments
    ---------
    files : list of soundfile.SoundFile
        From ``source_files``.
    estimates : torch.Tensor
        [time, source]
    """
    for file, source in zip(files, estimates.t().numpy()):
        _write(file, source)


def scale(files, factors):
    """Multiplies all samples that were written.

    Arguments
    ---------
    files : list of soundfile.SoundFile
        From ``source_files``.
    factors : torch.Tensor
        [source]
    """
    for file, factor in zip(files, factors.tolist()):
        for start in range(0, file.frames, 2**20):
            file.seek(start)
            block = file.read(2**20, "float32")
            file.seek(start)
            _write(file, block * np.float32(factor))


def subtract(file, others):
    """Subtracts from the samples that were written those of other files.

    Arguments
    ---------
    file : soundfile.SoundFile
        From ``source_files``, with the mixture.
    others : list of soundfile.SoundFile
        Likewise, with the sources.
    """
    for start in range(0, file.frames, 2**20):
        blocks = []
        for other in (file, *others):
            other.seek(start)
            blocks.append(other.read(2**20, "float32"))
        file.seek(start)
        _write(file, blocks[0] - sum(blocks[1:]))


def _write(file, samples):
    """Writes samples; libsndfile raises no OSError when the disk is full."""
    try:
        file.write(samples)
    except (AssertionError, soundfile.SoundFileError) as error:
        raise OSError(
            f"{os.fsdecode(file.name)} cannot be written; is the disk full?"
        ) from error
