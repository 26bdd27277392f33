"""Packs the files of one mixture, and notes of which files it was made.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import csv
import hashlib
import os
import threading
import wave

import numpy as np
import soundfile

from audit.corpora import CorpusError
from audit.metadata import FILES

RECORD = "packed.csv"
TEMPORARY = ".packing_"  # so begins what a killed preparation leaves
WHAT_TO_DO = (
    "What to do: make room, or name another folder with --packed_folder, or "
    "leave it out: the files are then read as they are"
)


class Packer:
    """Packs rows of a manifest, from several threads, and keeps packed.csv.

    Arguments
    ---------
    base : Path
        The folder that ``$data_root`` stands for.
    folder : Path
        Of the packed files.
    """

    def __init__(self, base, folder):
        self.base = os.path.join(base, "")
        self.folder = folder
        self.lock = threading.Lock()
        self.digests = {}
        # Without it, or with a damaged one, all is packed anew.
        with contextlib.suppress(FileNotFoundError, ValueError, csv.Error):
            with open(folder / RECORD, encoding="utf-8", newline="") as file:
                lines = [line for line in csv.reader(file) if len(line) == 2]
            self.digests = dict(lines)

    def sizes(self, row):
        """Whether a row has to be packed, and how large its files are.

        Arguments
        ---------
        row : tuple
            Of the manifest.

        Returns
        -------
        is_stale : bool
            Whether it is not packed, or any of its files changed since.
        new, old : int
            Bytes of its files, and of the packed file that is there.
        """
        sources = self._sources(row)
        new = sum(status.st_size for _, status in sources)
        try:
            old = os.stat(self._packed(row))
        except FileNotFoundError:
            return True, new, 0
        known = self.digests.get(row.ID)
        return known != _digest(sources, old), new, old.st_size

    @contextlib.contextmanager
    def recording(self):
        """Opens packed.csv to be added to, without lines that were cut."""
        temporary = self.folder / f"{TEMPORARY}{RECORD}"
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(sorted(self.digests.items()))
            file.flush()
            os.replace(temporary, self.folder / RECORD)
            self.file = file
            yield

    def pack(self, row):
        """Packs a row and notes it at once: a kill costs no more than one.

        Arguments
        ---------
        row : tuple
            Of the manifest.
        """
        # Before reading: what changes meanwhile is packed anew the next time.
        sources = self._sources(row)
        samples = _read_sources(row, [path for path, _ in sources])
        thread = f"{os.getpid()}_{threading.get_ident()}"
        temporary = self.folder / f"{TEMPORARY}{thread}"
        try:
            _write(temporary, samples, row.sample_rate)
            digest = _digest(sources, os.stat(temporary))
            os.replace(temporary, self._packed(row))
        finally:
            temporary.unlink(missing_ok=True)
        with self.lock:
            csv.writer(self.file).writerow([row.ID, digest])
            self.file.flush()

    def _packed(self, row):
        return self.folder / f"{row.ID}.wav"

    def _sources(self, row):
        """Path and status of each file of a row."""
        sources = []
        for column in FILES:
            name = getattr(row, column)
            path = name.replace("$data_root/", self.base, 1)
            try:
                if name:
                    sources.append((path, os.stat(path)))
            except OSError as error:
                raise _unusable(row, path, "a file", error) from error
        return sources


def _digest(sources, packed):
    """What tells that a file, or what was packed of it, has changed."""
    lines = [
        f"{os.path.basename(path)} {status.st_size} {status.st_mtime_ns}\n"
        for path, status in [*sources, ("", packed)]
    ]
    text = "".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _read_sources(row, paths):
    """The samples of a row's files, int16, [time, channel]."""
    frames = round(row.duration * row.sample_rate)
    expected = f"{frames} samples at {row.sample_rate} Hz in 1 channel, PCM_16"
    samples = np.empty((frames, len(paths)), np.int16)
    for channel, path in enumerate(paths):
        try:
            with soundfile.SoundFile(path) as file:
                found = (
                    f"{file.frames} samples at {file.samplerate} Hz in "
                    f"{file.channels} channel{'s' * (file.channels != 1)}, "
                    f"{file.subtype}"
                )
                if found == expected:
                    samples[:, channel] = file.read(dtype="int16")
        except (OSError, RuntimeError, ValueError) as error:
            found = error
        if found != expected:
            raise _unusable(row, path, expected, found)
    return samples


def _write(path, samples, sample_rate):
    """Writes a WAV file and compares it with what it was to hold."""
    with open(path, "wb") as binary, wave.open(binary) as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(samples.itemsize)
        file.setframerate(sample_rate)
        file.writeframes(samples)
    written = soundfile.read(path, dtype="int16", always_2d=True)
    if written[1] != sample_rate or not np.array_equal(written[0], samples):
        raise CorpusError(
            f"packed_folder: {path} does not hold what was written, its disk "
            f"may be damaged. {WHAT_TO_DO}"
        )


def _unusable(row, path, expected, found):
    """The error for a file that cannot be packed without loss."""
    return CorpusError(
        f"mixture {row.ID}: {path}: expected {expected}, found {found}; only "
        "files of 16 bit are packed, without loss. What to do: restore the "
        "file, or leave --packed_folder out: the files are then read as they are"
    )
