"""Finds and reads recordings; writes sources completely or not at all.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import glob
import math
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from paths import replacing
from torchaudio.functional import resample

SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()}
SUFFIXES |= {".aif", ".aifc", ".oga", ".opus"}
BLOCK_SECONDS = 10
MOST_WAV_BYTES = 2**32 - 2**20  # sizes are 32-bit in the header


def find_recordings(names):
    """Finds the recordings that a command line names.

    Raises ValueError when no recording is found.

    Arguments
    ---------
    names : list of str
        Files, folders (searched recursively) and patterns.

    Returns
    -------
    found : dict
        File -> relative path of its sources without suffix.
    n_others : int
        Number of files in folders that are not audio.
    """
    found, n_others = {}, 0
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file())
            audio = [p for p in files if p.suffix.lower() in SUFFIXES]
            n_others += len(files) - len(audio)
            found.update(
                {p: p.relative_to(path).with_suffix("") for p in audio}
            )
        elif path.exists() or not glob.has_magic(name):
            found[path] = Path(path.stem)  # Recording reports a missing one
        else:
            matches = map(Path, sorted(glob.glob(str(path))))
            found.update({p: Path(p.stem) for p in matches if p.is_file()})
    if not found:
        raise ValueError(f"no recordings in {', '.join(names)}")
    return found, n_others


def plan_outputs(found, output_folder, sources):
    """Chooses the files for the sources of each recording.

    Raises ValueError when two recordings share an output, or an output is one of
    the recordings.

    Arguments
    ---------
    found : dict
        From ``find_recordings``.
    output_folder : str
        Folder for all sources.
    sources : list of str
        Names of the sources.

    Returns
    -------
    dict
        File -> list of Path, one for each source.
    """
    folder = Path(output_folder).expanduser()
    plan, owners = {}, {}
    inputs = {os.path.realpath(path) for path in found}
    for path, stem in found.items():
        stem = folder / stem
        plan[path] = [stem.with_name(f"{stem.name}_{s}.wav") for s in sources]
        for output in plan[path]:
            real = os.path.realpath(output)
            if real in inputs:
                raise ValueError(
                    f"{output} is a recording to be separated; name another "
                    "--output_folder"
                )
            if owners.setdefault(real, path) != path:
                raise ValueError(
                    f"{owners[real]} and {path} would both become {output}; "
                    "separate them into different folders"
                )
    return plan


class Recording:
    """A recording, read block by block in the format of the model.

    Channels are averaged. Another sample rate is converted block by block, with
    the same result as for the whole recording.

    Raises ValueError when the file is not audio, is empty, or cannot be opened.

    Arguments
    ---------
    path : str or Path
        File in any format that libsndfile reads.
    sample_rate : int
        Sample rate of the model in Hz.

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
                pass  # libsndfile does not say why it cannot open a file
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
        self.file_rate = info.samplerate
        common = math.gcd(self.file_rate, sample_rate)
        # As many samples of the file as of the model.
        self.step = self.file_rate // common
        self.model_step = sample_rate // common
        self.length = math.ceil(self.frames * self.model_step / self.step)
        self.changes = []  # conversions, in words
        if info.channels > 1:
            self.changes.append(f"{info.channels} channels averaged")
        if self.file_rate != sample_rate:
            self.changes.append(
                f"{self.file_rate} Hz resampled to {sample_rate} Hz"
            )

    def blocks(self):
        """Reads the samples.

        Raises ValueError at samples that are not finite, and when the file is
        shorter than its header says.

        Yields
        ------
        torch.Tensor
            [time], float32; in all ``length`` samples.
        """
        # The resampling filter reaches less than this context to each side.
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
        """Samples begin to end of the file, [time], channels averaged."""
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
                    str(path), "w+", sample_rate, **options
                )
                files.append(stack.enter_context(file))
            yield files
            lengths = [file.frames for file in files]
        for path, n_samples in zip(hidden, lengths):
            if path.stat().st_size < 4 * n_samples:
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


def _write(file, samples):
    """Writes samples; libsndfile raises no OSError when the disk is full."""
    try:
        file.write(samples)
    except (AssertionError, soundfile.SoundFileError) as error:
        raise OSError(
            f"{file.name} cannot be written; is the disk full?"
        ) from error
