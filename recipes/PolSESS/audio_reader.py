"""Reads recordings from start to end, whatever their headers say.

libsndfile takes the length from the header and reads no further, and soundfile
seeks after each read. Here the layout of the file says where samples are: files
that were joined, more bytes than a WAV header can count, MP3 without a length.
Samples are read in sequence and counted.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import functools
import math
import mmap
import os
import re
import struct
import zlib
from collections import namedtuple

import numpy as np
import soundfile
from scipy.signal import firwin, resample_poly

READ_SAMPLES = 4096  # at a time: so many may be lost where a decoder fails
MP3_TOLERANCE_SECONDS = 0.05  # encoders differ in counting the first frame
# Bit rates of MPEG 1; of MPEG 2 and 2.5.
MP3_KBPS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
)
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# Bytes `start` to `end` of a file; `head` stands for what precedes them.
Part = namedtuple("Part", "head start end")
# `claimed`: samples that the header declares, or None; `is_cut`: its end is
# missing; no parts: libsndfile finds all samples.
Layout = namedtuple("Layout", "claimed is_cut parts", defaults=(False, ()))


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
                find_layout = LAYOUTS.get(self._format, _other)
                layout = find_layout(data, self.frames, log)
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


def _wav(data, frames, log):
    """WAV and AIFF: samples may go on where the header's 32 bits end."""
    order = "<>"[data[:4] in (b"RIFX", b"FORM")]
    at, format_, wide, n_samples = 12, bytes(22), None, None
    while True:
        if at + 8 > len(data):
            return Layout(frames)
        name, size = struct.unpack_from(order + "4sI", data, at)
        if name in (b"data", b"SSND"):
            break
        if name == b"ds64":
            (wide,) = struct.unpack_from("<Q", data, at + 16)
        if name in (b"fmt ", b"COMM"):
            format_ = data[at : at + 8 + size + size % 2]
        if name == b"fact":
            (n_samples,) = struct.unpack_from(order + "I", data, at + 8)
        at += 8 + size + size % 2
    size = size if wide is None else wide
    start, block = at + 8, struct.unpack_from(order + "H", format_, 20)[0]
    if name == b"SSND":
        n_channels, _, n_bits = struct.unpack_from(">HIH", format_, 8)
        start, block = at + 16, n_channels * -(-n_bits // 8)
    n_before = start - at - 8
    size, block = max(0, size - n_before), max(1, block)
    n_present = len(data) - start
    # Programs that write to a pipe declare 0, or as much as they can.
    is_known = size >= block and not (
        size > n_present
        and (2**31 - 2**13 <= size <= 2**31 or 2**32 - 2**13 < size <= 2**32)
    )
    if size > n_present:
        if n_present // block == frames:  # PCM
            n_samples = size // block
        n_samples = n_samples or frames * size // max(1, n_present)
        return Layout(n_samples if is_known else None)
    for end in range(start + size, len(data) + 1, 2**32):
        if _chunks_follow(data, end, order):
            break
    else:
        end = len(data)
    if end == start + size:
        return Layout(frames)
    n_bytes = (end - start) // block * block
    if n_bytes < 2**32 - 2**13:
        head = data[: at + 4] + struct.pack(order + "I", n_bytes + n_before)
        head += data[at + 8 : start]
    else:
        head = struct.pack("<4sI8sIQQQI", b"RF64", 2**32 - 1, b"WAVEds64", 28,
            n_bytes + len(format_) + 48, n_bytes, 0, 0)  # fmt: skip
        head += format_ + b"data" + b"\xff" * 4
    parts = [Part(head, start, start + n_bytes)]
    return Layout(frames if is_known else None, False, parts)


def _chunks_follow(data, at, order):
    """Whether only whole chunks of a WAV file follow, or nothing."""
    at += at % 2
    while at + 8 <= len(data):
        name, size = struct.unpack_from(order + "4sI", data, at)
        if not re.fullmatch(rb"[\w ]{4}", name):
            return False
        at += 8 + size + size % 2
    return at <= len(data) + 8


def _au(data, frames, log):
    """AU: samples may go on where the size in the header ends."""
    start, size = struct.unpack_from("<>"[data[:4] == b".snd"] + "II", data, 4)
    claimed = None if size in (0, 2**32 - 1) else frames
    if size >= len(data) - start:
        return _other(data, frames, log) if claimed else Layout(None)
    head = data[:8] + b"\xff" * 4 + data[12:start]
    return Layout(claimed, False, [Part(head, start, len(data))])


def _flac(data, frames, log):
    """FLAC: the total is set to unknown, and files may be joined."""
    starts = [m.start() for m in re.finditer(rb"fLaC[\0\x80]\0\0\x22", data)]
    parts, totals = [], []
    for start, end in zip(starts, [*starts[1:], len(data)]):
        total = int.from_bytes(data[start + 18 : start + 26], "big")
        head = (total >> 36 << 36).to_bytes(8, "big")
        totals.append(total % 2**36)
        parts.append(Part(data[start : start + 18] + head, start + 26, end))
    return Layout(frames if all(totals) else None, False, parts)


def _ogg(data, frames, log):
    """Ogg: streams may follow each other; the last page of each is marked."""
    starts, is_cut, flags = [], False, 4
    for at in (m.start() for m in re.finditer(rb"OggS\0", data)):
        head = data[at : at + 282].ljust(27, b"\0")
        table = head[27 : 27 + head[26]]
        page = data[at : at + 27 + len(table) + sum(table)]
        if head[5] & 2 and (not starts or not flags & 2):
            starts.append(at)
            is_cut |= not flags & 4
        flags = head[5]
        is_cut |= _ogg_checksum(page) != head[22:26]
    is_cut |= not flags & 4
    parts = [Part(b"", *p) for p in zip(starts, [*starts[1:], len(data)])]
    return Layout(frames, is_cut, parts if len(parts) > 1 else ())


def _ogg_checksum(page):
    """That of zlib with all bits in the other order."""
    page = (page[:22] + bytes(4) + page[26:]).translate(REVERSED)
    checksum = zlib.crc32(page, 2**32 - 1) ^ 2**32 - 1
    return checksum.to_bytes(4, "little").translate(REVERSED)[::-1]


def _mp3_frame(data, at):
    """Format, length in bytes and offset of a Xing tag of a frame, or None."""
    head = int.from_bytes(data[at : at + 4], "big")
    version, kbps = head >> 19 & 3, head >> 12 & 15
    if head >> 17 != 0x7FF << 4 | version << 2 | 1 or version == 1:
        return None  # not layer III
    kbps = MP3_KBPS[version != 3][kbps]
    if not kbps or head >> 10 & 3 == 3:
        return None
    rate = (44100, 48000, 32000)[head >> 10 & 3] >> (2, 0, 1, 0)[version]
    n_samples = 1152 if version == 3 else 576
    is_mono = head >> 6 & 3 == 3
    length = n_samples * kbps * 125 // rate + (head >> 9 & 1)
    side = {(3, False): 32, (3, True): 17}.get((version, is_mono))
    return (rate, is_mono), length, 4 + (side or (9 if is_mono else 17))


def _mp3(data, frames, log):
    """MP3: frames are counted; the count goes where decoders look for it."""
    found = []  # of each part: start, end, frames, claimed frames
    at, format_, is_cut = 0, None, False
    while at < len(data):
        if data[at : at + 3] == b"ID3":
            size = data[at + 6 : at + 10]
            at += 10 + sum(byte << 21 - 7 * i for i, byte in enumerate(size))
        frame = _mp3_frame(data, at)
        if not frame:
            # Two in a row are hardly chance.
            at = data.find(b"\xff", at + 1)
            while at >= 0:
                frame = _mp3_frame(data, at)
                if frame and _mp3_frame(data, at + frame[1]):
                    break
                at = data.find(b"\xff", at + 1)
            if at < 0:
                break
        kind, length, place = frame
        is_cut = at + length > len(data)
        if is_cut:
            break
        tag = data[at + place : at + place + 12]
        is_tag = tag[:4] in (b"Xing", b"Info")
        if is_tag or kind != format_:
            claimed = None
            if is_tag and tag[7] & 1:
                claimed = int.from_bytes(tag[8:], "big")
            found.append([at, at, -is_tag, claimed])
            format_ = kind
        found[-1][2] += 1
        at += length
        found[-1][1] = at
    if not found:
        return Layout(frames)
    parts = []
    for start, end, n_frames, claimed in found:
        _, length, place = _mp3_frame(data, start)
        head = bytearray(data[start : start + length])
        if claimed is None:
            # A frame of its own, without checksum, of 128 or 80 kbit/s.
            head = bytearray(data[start : start + 4])
            head[1] |= 1
            head[2] = 0x90 | head[2] & 0x0C
            head += bytes(_mp3_frame(bytes(head), 0)[1] - 4)
            head[place : place + 8] = b"Xing\0\0\0\1"
            length = 0
        if n_frames > (claimed or 0):
            head[place + 8 : place + 12] = n_frames.to_bytes(4, "big")
        # Some encoders count the frame of the tag.
        is_cut |= n_frames + 1 < (claimed or 0)
        parts.append(Part(bytes(head), start + length, end))
    is_plain = len(found) == 1 and found[0][2] == found[0][3]
    has_length = found[0][3] is not None
    return Layout(
        frames if has_length else None, is_cut, () if is_plain else parts
    )


def _other(data, frames, log):
    """Other formats: libsndfile's log says what the header declares."""
    if nist := re.search(rb"\bsample_count -i (\d+)", data[:1024]):
        return Layout(int(nist[1]))
    pattern = r"(?:Data Size|BODY|riff) *: (\d+) \(should be (\d+)\)"
    if not (sizes := re.search(pattern, log)):
        return Layout(frames, "truncated file" in log)
    declared, present = map(int, sizes.groups())
    bytes_per_sample = round(8 * present / max(1, frames)) / 8
    return Layout(frames + round((declared - present) / bytes_per_sample))


LAYOUTS = dict.fromkeys(["WAV", "WAVEX", "RF64", "AIFF"], _wav)
LAYOUTS |= {"AU": _au, "FLAC": _flac, "OGG": _ogg, "MP3": _mp3}


@functools.lru_cache(maxsize=64)
def _low_pass(up, down):
    """The filter that scipy's resample_poly designs anew for each call."""
    n_side = 10 * max(up, down)
    return firwin(2 * n_side + 1, 1 / max(up, down), window=("kaiser", 5.0))


def resample(signal, to_rate, from_rate):
    """Changes the sample rate as scipy's resample_poly, with the same bits.

    Its polyphase filter takes a few MB for rates without a common divisor;
    torchaudio's kernel takes GB.

    Arguments
    ---------
    signal : numpy.ndarray
        Shape [time].
    to_rate, from_rate : int
        In Hz.

    Returns
    -------
    signal : numpy.ndarray
        float64, shape [time * to_rate / from_rate, rounded up].
    """
    divisor = math.gcd(to_rate, from_rate)
    up, down = to_rate // divisor, from_rate // divisor
    if up == down:
        return signal
    return resample_poly(signal, up, down, window=_low_pass(up, down))
