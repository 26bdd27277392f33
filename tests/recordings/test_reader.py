"""All samples of a recording are read, and what its header says is checked.

Authors
 * The PolSESS recipe team 2026
"""

import re
import struct
import tracemalloc
from math import gcd

import numpy as np
import pytest
import soundfile
from recordings.reader import AudioFile
from recordings.resampling import resample
from scipy.signal import resample_poly

RATE = 8000
RNG = np.random.default_rng(0)
# Of 12 s, and of 5 s; loud then quiet, so that a VBR encoder's rates differ.
LONG = 0.1 * RNG.standard_normal(12 * RATE) * np.repeat([1, 0, 1], 4 * RATE)
SHORT = 0.1 * RNG.standard_normal(5 * RATE)


def encoded(tmp_path, signal, suffix, rate=RATE, **options):
    """The bytes of a file."""
    path = tmp_path / f"encoded.{suffix}"
    soundfile.write(path, signal, rate, **options)
    return path.read_bytes()


def opened(tmp_path, content, suffix):
    """A file of these bytes, and all its samples."""
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    file = AudioFile(path)
    blocks = [*file.blocks(5000, "float64")]
    assert all(len(block) == 5000 for block in blocks[:-1])
    assert AudioFile(path).count() == file.frames == sum(map(len, blocks))
    return file, np.concatenate([*blocks, np.zeros((0, file.channels))])


def without_tag(mp3):
    """An MP3 whose first frame, which holds the length, is taken away."""
    starts = [m.start() for m in re.finditer(re.escape(mp3[:2]), mp3)]
    assert re.search(rb"Xing|Info", mp3[: starts[1]])
    return mp3[starts[1] :]


def with_size(wav, n_bytes, riff=None):
    """A WAV file of which the header declares another number of bytes."""
    riff = n_bytes + 36 if riff is None else riff
    sizes = (struct.pack("<I", n % 2**32) for n in (riff, n_bytes))
    return wav[:4] + next(sizes) + wav[8:40] + next(sizes) + wav[44:]


WHOLE = [
    *(("wav", x) for x in ("PCM_16", "PCM_U8", "PCM_24", "FLOAT", "ULAW")),
    *(("wav", x) for x in ("GSM610", "G721_32", "MS_ADPCM", "IMA_ADPCM")),
    *(("flac", None), ("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", None)),
    *(("aiff", None), ("au", None), ("w64", None), ("rf64", None)),
    *(("aiff", "PCM_24"), ("au", "G721_32"), ("voc", None)),
]


@pytest.mark.parametrize("suffix, subtype", WHOLE)
def test_whole_files_are_read_as_libsndfile_does(tmp_path, suffix, subtype):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, LONG, RATE, subtype)
    file, samples = opened(tmp_path, path.read_bytes(), suffix)
    assert not file.is_short and not file.remark
    expected = soundfile.read(path, always_2d=True)[0]
    assert len(expected) >= len(LONG)
    assert np.allclose(samples, expected, rtol=0, atol=1e-7)


CUT = [*WHOLE[:14], *WHOLE[15:17], ("svx", "PCM_16"), ("nist", "PCM_16")]


@pytest.mark.parametrize("suffix, subtype", CUT)
def test_a_file_that_was_cut_is_short(tmp_path, suffix, subtype):
    options = {"subtype": subtype, "format": suffix.upper()}
    content = encoded(tmp_path, LONG, suffix, **options)
    file, _ = opened(tmp_path, content[: len(content) // 3], suffix)
    assert file.is_short
    assert f"found {file.frames}" in file.remark or suffix == "ogg"
    assert 0 < file.frames < 0.4 * len(LONG)
    if suffix != "ogg":  # its header declares no length
        n_declared = 96455 if subtype == "IMA_ADPCM" else len(LONG)
        assert abs(file.claimed - n_declared) <= 64 * (subtype == "G721_32")


def test_a_wav_whose_size_is_too_small_is_read_to_its_end(tmp_path):
    wav = encoded(tmp_path, LONG, "wav")
    for tail in (b"", b"\0\0", RNG.bytes(201)):
        content = with_size(wav, 96000) + tail
        file, samples = opened(tmp_path, content, "wav")
        n_samples = len(LONG) + len(tail) // 2
        assert file.remark == f"header claims 48000 samples, found {n_samples}"
        assert not file.is_short
        expected = np.frombuffer(content[44 : 44 + 2 * n_samples], "<i2")
        assert np.array_equal(samples[:, 0] * 2**15, expected)


def test_chunks_after_the_samples_are_no_samples(tmp_path):
    wav = encoded(tmp_path, LONG, "wav")
    chunks = b"LIST\5\0\0\0abcde\0" + b"id3 \2\0\0\0ab"
    for content in (wav + chunks, wav + b"LIST\5\0\0\0abcde", wav + b"\0"):
        file, samples = opened(tmp_path, content, "wav")
        assert len(samples) == len(LONG)
        assert not file.remark


def test_a_wav_of_more_than_4_gib_whose_size_wrapped(tmp_path):
    # 2 channels of 32 bits: a sparse file, of which the end alone is written.
    wav = encoded(tmp_path, np.ones((4, 2)), "wav", subtype="FLOAT")
    start = wav.index(b"data") + 8
    path = tmp_path / "big.wav"
    with open(path, "wb") as file:
        file.write(wav[: start - 4] + struct.pack("<I", 800) + wav[start:])
        file.seek(start + 2**32 + 800)
        file.write(b"LIST\2\0\0\0ab")
    file = AudioFile(path)
    assert file.claimed == 100
    (part,) = file._parts
    assert part.end - part.start == 2**32 + 800
    first = next(file.blocks(200))
    assert first.sum() == 8


@pytest.mark.parametrize(
    "size", [0, 0x7FFFF000, 0x7FFFFFFF, 2**31, 2**32 - 1, 2**32 - 44]
)
@pytest.mark.parametrize("riff", [None, 0, 2**32 - 1])
def test_a_wav_from_a_pipe_declares_no_length(tmp_path, size, riff):
    wav = with_size(encoded(tmp_path, LONG, "wav"), size, riff)
    file, samples = opened(tmp_path, wav, "wav")
    assert len(samples) == len(LONG)
    assert not file.is_short
    assert file.remark == "no length in its header, found 96000 samples"


@pytest.mark.parametrize("subtype", ["GSM610", "IMA_ADPCM", "G721_32", "ULAW"])
def test_a_coded_wav_from_a_pipe(tmp_path, subtype):
    wav = encoded(tmp_path, LONG, "wav", subtype=subtype)
    at = wav.index(b"data") + 4
    file, samples = opened(tmp_path, wav[:at] + bytes(4) + wav[at + 4 :], "wav")
    assert file.claimed is None and not file.is_short
    expected = soundfile.read(tmp_path / "encoded.wav", always_2d=True)[0]
    assert np.array_equal(samples, expected)


MARKS = {"aiff": (b"SSND", 4), "au": (b".snd", 8), "rifx": (b"data", 4)}


@pytest.mark.parametrize("suffix", MARKS)
def test_big_endian_sizes_that_are_wrong(tmp_path, suffix):
    options = {"format": "WAV", "endian": "BIG"} if suffix == "rifx" else {}
    whole = encoded(tmp_path, LONG, suffix, **options)
    at = whole.index(MARKS[suffix][0]) + MARKS[suffix][1]
    n_more = 8 * (suffix == "aiff")
    assert whole[at : at + 4] == struct.pack(">I", 192000 + n_more)
    for size, claimed in ((0, None), (2**32 - 1, None), (96000, 48000)):
        content = whole[:at] + struct.pack(">I", size + n_more * bool(claimed))
        file, samples = opened(tmp_path, content + whole[at + 4 :], suffix)
        assert (len(samples), file.claimed) == (96000, claimed)
        assert file.remark and not file.is_short
    file, _ = opened(tmp_path, whole[:50000], suffix)
    assert file.is_short and file.claimed == 96000


def test_a_wav_that_declares_one_byte(tmp_path):
    wav = with_size(encoded(tmp_path, LONG, "wav"), 1)
    file, samples = opened(tmp_path, wav, "wav")
    assert len(samples) == len(LONG) and "no length" in file.remark


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_a_damaged_page_counts_as_cut(tmp_path, subtype):
    ogg = encoded(tmp_path, LONG, "ogg", 48000, subtype=subtype)
    middle = len(ogg) // 2
    damaged = ogg[:middle] + RNG.bytes(50) + ogg[middle + 50 :]
    path = tmp_path / "damaged.ogg"
    path.write_bytes(damaged)
    file = AudioFile(path)
    assert sum(map(len, file.blocks(5000))) < len(LONG)
    assert file.is_short


def test_a_flac_from_a_pipe_declares_no_length(tmp_path):
    flac = bytearray(encoded(tmp_path, LONG, "flac"))
    flac[21:26] = [flac[21] & 0xF0, 0, 0, 0, 0]
    file, samples = opened(tmp_path, flac, "flac")
    assert len(samples) == len(LONG)
    assert file.remark == "no length in its header, found 96000 samples"
    file, _ = opened(tmp_path, flac[: len(flac) // 2], "flac")
    assert file.is_short
    # No audio after the last sample.
    tagged = encoded(tmp_path, LONG, "flac") + b"TAG" + bytes(125)
    file, samples = opened(tmp_path, tagged, "flac")
    assert len(samples) == len(LONG) and not file.remark


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_mp3_without_a_length(tmp_path, rate, mode, n_channels):
    signal = np.repeat(LONG[:, None], n_channels, 1)
    options = {"bitrate_mode": mode, "compression_level": 0.3}
    mp3 = encoded(tmp_path, signal, "mp3", rate, **options)
    file, whole = opened(tmp_path, mp3, "mp3")
    assert len(whole) == len(LONG) and not file.remark
    bare = without_tag(mp3)
    for content in (bare, b"ID3\4\0\0\0\0\2\1" + bytes(257) + bare):
        for end in (b"", b"TAG" + bytes(125)):
            file, samples = opened(tmp_path, content + end, "mp3")
            assert not file.is_short and file.claimed is None
            # The delay of the encoder and the padding are not known.
            assert 0 <= len(samples) - len(LONG) < 4 * 1152
    # The same samples, after the delay of the encoder.
    products = [samples[k : k + 9000, 0] @ whole[:9000, 0] for k in range(2000)]
    samples = samples[np.argmax(products) :]
    assert np.allclose(samples[:90000], whole[:90000], rtol=0, atol=1e-6)
    end = bare.rindex(mp3[:2], 0, len(bare) // 3) + 10
    file, _ = opened(tmp_path, bare[:end], "mp3")
    assert file.is_short and "found its end missing" in file.remark


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mp3", "flac"])
def test_files_that_were_joined(tmp_path, suffix):
    options = {"subtype": "OPUS", "format": "OGG"} if suffix == "opus" else {}
    parts = [
        encoded(tmp_path, x, suffix, **options) for x in (LONG, SHORT, SHORT)
    ]
    whole = [opened(tmp_path, part, suffix)[1] for part in parts]
    file, samples = opened(tmp_path, b"".join(parts), suffix)
    assert np.array_equal(samples, np.concatenate(whole))
    assert not file.is_short
    assert file.remark == "header claims 96000 samples, found 176000"
    third = encoded(tmp_path, SHORT, suffix, 16000, **options)
    with pytest.raises(ValueError, match="found 16000 Hz and 1 channels from"):
        opened(tmp_path, parts[0] + third, suffix)


def test_mp3_with_and_without_a_length_joined(tmp_path):
    long = encoded(tmp_path, LONG, "mp3")
    bare = without_tag(encoded(tmp_path, SHORT, "mp3"))
    file, samples = opened(tmp_path, long + bare, "mp3")
    assert file.remark.startswith("header claims 96000 samples, found 13")
    assert 0 <= len(samples) - 17 * RATE < 4 * 1152


def test_a_cut_file_joined_with_another(tmp_path):
    for suffix in ("ogg", "flac", "mp3"):
        first = encoded(tmp_path, LONG, suffix)
        second = encoded(tmp_path, SHORT, suffix)
        file, samples = opened(tmp_path, first[:9000] + second, suffix)
        assert file.is_short, suffix
    # Of the second, the first page alone, which no decoder opens.
    content = encoded(tmp_path, LONG, "ogg")
    file, samples = opened(tmp_path, content + content[:58], "ogg")
    assert len(samples) == len(LONG) and file.is_short


def test_no_audio_is_named(tmp_path):
    for name, content, message in (
        ("a.wav", b"hello", "expected audio that libsndfile reads"),
        ("a.raw", b"hello", "expected audio that libsndfile reads"),
        ("a.wav", b"", "expected audio that libsndfile reads"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: {message}"):
            AudioFile(tmp_path / name)
    with pytest.raises(ValueError, match="No such file or directory"):
        AudioFile(tmp_path / "none.wav")


@pytest.mark.parametrize("rate", [6000, 11025, 44100, 44101, 7919])
def test_segments_are_resampled_as_scipy_does(rate):
    common = gcd(8000, rate)
    expected = resample_poly(LONG, 8000 // common, rate // common)
    tracemalloc.start()
    found = resample(LONG, 8000, rate)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found, expected)
    assert peak_bytes < 1e8  # torchaudio's kernel for 44101 Hz: 6.5 GB
