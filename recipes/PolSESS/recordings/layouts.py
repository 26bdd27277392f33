"""Layouts of audio files: how many samples they claim, and where these lie.

Files may be joined, longer than a WAV header can count, or without a length.

Authors
 * The PolSESS recipe team 2026
"""

import re
import struct
import zlib
from collections import namedtuple

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


def find_layout(data, format_, frames, log):
    """Finds where the samples of a file lie.

    Arguments
    ---------
    data : mmap.mmap
        The bytes of the file.
    format_ : str
        As soundfile names it.
    frames : int
        Samples that libsndfile finds.
    log : str
        What libsndfile says of the file.

    Returns
    -------
    Layout
    """
    return LAYOUTS.get(format_, _other)(data, frames, log)


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
