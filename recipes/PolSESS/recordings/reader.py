"""Reads recordings from start to end, whatever their headers say.

libsndfile takes the length from the header and reads no further, and soundfile
seeks after each read. Here the layout of the file says where samples are: files
that were joined, more bytes than a WAV header can count, MP3 without a length.
Samples are read in sequence and counted.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import mmap
import os

import numpy as np
import soundfile

from recordings.layouts import find_layout

READ_SAMPLES = 4096  # at a time: so many may be lost where a decoder fails
MP3_TOLERANCE_SECONDS = 0.05  # encoders differ in counting the first frame


class AudioFile:
    """A recording of which all samples are read.

    Raises ValueError when the file is not audio or cannot be opened.

    Arguments
    ---------
    path : str or Path
        File in any format that libsndfile reads.

    Example
    -------
    >>> soundfile.write("whole.wav", np.zeros(3000), 8000)
    >>> data = open("whole.wav", "rb").read()
    >>> _ = open("cut.wav", "wb").write(data[:2044])
    >>> file = AudioFile("cut.wav")
    >>> [len(block) for block in file.blocks(600)], file.claimed
    ([600, 400], 3000)
    >>> file.is_short, file.remark
    (True, 'expected 3000 samples, found 1000')
    >>> os.remove("whole.wav"), os.remove("cut.wav")
    (None, None)
    """

    def __init__(self, path):
        self.path = path
        try:
            with open(path, "rb"):
                pass  # libsndfile does not say why it cannot open a file
            with quiet(path), soundfile.SoundFile(os.fsencode(path)) as file:
                self.sample_rate, self.channels = file.samplerate, file.channels
                self._format, self.frames = file.format, file.frames
                log = file.extra_info
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from error
        except (soundfile.SoundFileError, TypeError) as error:
            raise ValueError(
                f"{path}: expected audio that libsndfile reads (WAV, FLAC, OGG, "
                f"MP3 ...): {str(error).rpartition(': ')[2]}"
            ) from error
        with open(path, "rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
                layout = find_layout(data, self._format, self.frames, log)
        self.claimed, self._is_cut, self._parts = layout
        n_parts = len(self._parts) - (self._format == "FLAC")
        self._is_plain = n_parts <= 0 and self.claimed == self.frames
        # A guess, until all samples are read.
        self.frames = self.claimed or self.frames % (2**63 - 1)

    def blocks(self, size, dtype="float32"):
        """Reads all samples; then `frames` is their number.

        Raises ValueError when the sample rate or the channels change.

        Arguments
        ---------
        size : int
            Length of all blocks but the last.
        dtype : str
            "float32" or "float64".

        Yields
        ------
        numpy.ndarray
            [time, channel]
        """
        waiting, n_waiting = [], 0
        for piece in self._pieces(dtype):
            waiting.append(piece)
            n_waiting += len(piece)
            if n_waiting >= size:
                block = np.concatenate(waiting)
                n_waiting %= size
                for start in range(0, len(block) - n_waiting, size):
                    yield block[start : start + size]
                waiting = [block[len(block) - n_waiting :]]
        if n_waiting:
            yield np.concatenate(waiting)

    def _pieces(self, dtype):
        """The samples as libsndfile gives them."""
        n_read = 0
        with open(self.path, "rb") as data:
            for part in self._parts or [None]:
                source = _View(data, *part) if part else os.fsencode(self.path)
                try:
                    with quiet(self.path):
                        file = _Sequential(source)
                except soundfile.SoundFileError:  # a part without its start
                    self._is_cut = True
                    continue
                found = file.samplerate, file.channels
                if found != (self.sample_rate, self.channels):
                    raise ValueError(
                        f"{self.path}: expected {self.sample_rate} Hz and "
                        f"{self.channels} channels throughout, found "
                        f"{found[0]} Hz and {found[1]} channels from sample "
                        f"{n_read} on: files were joined; split them"
                    )
                while True:
                    # What follows the last sample claimed may be no audio.
                    size = (self.claimed or 0) - n_read
                    size = size if 0 < size < READ_SAMPLES else READ_SAMPLES
                    try:
                        with quiet(self.path):
                            piece = file.read(size, dtype, True)
                    except soundfile.SoundFileError:
                        self._is_cut |= n_read != self.claimed
                        break
                    if not len(piece):
                        break
                    n_read += len(piece)
                    yield piece
                file.close()
        self.frames = n_read

    def count(self):
        """Counts the samples; reads the last one only, if it can be sought."""
        if self._is_plain and not self._is_cut:
            with contextlib.suppress(soundfile.SoundFileError), quiet(
                self.path
            ), soundfile.SoundFile(os.fsencode(self.path)) as file:
                file.seek(max(0, self.claimed - 1))
                if len(file.read(1)):
                    return self.claimed
        return sum(map(len, self.blocks(READ_SAMPLES)))

    @property
    def is_short(self):
        """Whether samples are missing; known when all have been read."""
        return self._is_cut or self._excess < 0

    @property
    def _excess(self):
        """Samples found less those that the header claims."""
        excess = self.frames - (self.claimed or self.frames)
        tolerance = MP3_TOLERANCE_SECONDS * self.sample_rate
        is_near = self._format == "MP3" and abs(excess) <= tolerance
        return 0 if is_near else excess

    @property
    def remark(self):
        """How header and samples differ, in words, or an empty text."""
        if self.claimed and self._excess < 0:
            return f"expected {self.claimed} samples, found {self.frames}"
        if self.is_short:
            return (
                "expected a complete stream, found its end missing after "
                f"{self.frames} samples"
            )
        if self._excess:
            return f"header claims {self.claimed} samples, found {self.frames}"
        if self.claimed is None:
            return f"no length in its header, found {self.frames} samples"
        return ""


class _Sequential(soundfile.SoundFile):
    """A file in which soundfile does not seek after each read."""

    def seekable(self):
        return False  # soundfile seeks in all others


class _View:
    """A part of a file as libsndfile shall see it."""

    def __init__(self, file, head, start, end):
        self.file, self.head = file, head
        self.shift = start - len(head)
        self.size = end - self.shift
        self.at = 0

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self):
        return self.at

    def read(self, n_bytes):
        n_bytes = max(0, min(n_bytes, self.size - self.at))
        found = self.head[self.at : self.at + n_bytes]
        self.at += len(found)
        if len(found) < n_bytes:
            self.file.seek(self.shift + self.at)
            rest = self.file.read(n_bytes - len(found))
            self.at += len(rest)
            found += rest
        return found


@contextlib.contextmanager
def quiet(path):
    """Silences libmpg123, which writes to stderr past Python."""
    if os.path.splitext(path)[1].lower() != ".mp3":
        yield
        return
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
