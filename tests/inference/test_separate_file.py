"""separate_file.py takes what users have, and leaves nothing half done."""

import os
import resource
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import separate_file
import soundfile
import torch
from inference.audio_files import scale, source_files, write
from inference.inputs import find_recordings
from inference.separation import Separation
from made_runs import noise, put
from scipy.signal import resample_poly


def found(folder):
    """The files of a folder, hidden ones too."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(folder)) for path in files)


@pytest.fixture
def separate(run_of_sb, tmp_path, monkeypatch):
    """Runs the script in a new folder; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, model=run_of_sb[0]):
        words = [str(model), *arguments, "--device=cpu"]
        return separate_file.main(["--output_folder=out", *words])

    return run


@pytest.mark.parametrize(
    "rate, channels, length",
    [
        (8000, 1, 100_017),
        (16000, 5, 200_017),
        (11025, 1, 130_000),
        (6000, 2, 80_000),
        (44100, 2, 441_000),  # a whole block of 10 s; and a little more
        (44100, 1, 441_001),
        (44100, 1, 445_000),
        (44101, 1, 600_000),  # no common divisor
    ],
)
def test_any_rate_and_number_of_channels(
    run_of_sb, separate, rate, channels, length, capsys
):
    samples = noise(length, channels)
    put(samples, "in.wav", rate=rate, subtype="FLOAT")
    assert separate("in.wav", "--window_seconds=30") == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert (f"{channels} channels averaged" in text) == (channels > 1)
    assert (f"{rate} Hz resampled to 8000 Hz" in text) == (rate != 8000)
    mixture = samples.mean(1)
    if rate != 8000:
        mixture = resample_poly(mixture, 8000, rate)
    mixture = torch.from_numpy(mixture).float()
    expected = Separation.from_run(run_of_sb[0], window_seconds=30)(mixture)
    assert found("out") == ["in_s1.wav", "in_s2.wav"]
    for source, name in zip(expected.T, found("out")):
        info = soundfile.info(f"out/{name}")
        assert (info.samplerate, info.subtype) == (8000, "FLOAT")
        assert np.allclose(soundfile.read(f"out/{name}")[0], source, atol=1e-6)


def test_folders_patterns_and_formats(separate, capsys):
    put(noise(9000), "in/a.FLAC", "in/deep/b.ogg", "d.mp3", "e[1].wav")
    put(noise(9000), "more/c.aiff", "more/f.aiff/g.wav")
    Path("in/notes.txt").write_text("no audio")
    # Patterns stand for files; a file may be named like a pattern.
    assert separate("in", "more/*.aiff", "d.mp3", "e[1].wav") == 0
    names = "a", "c", "d", "deep/b", "e[1]"
    assert found("out") == [f"{n}_s{s}.wav" for n in names for s in (1, 2)]
    printed = capsys.readouterr().out
    assert "1 other files in folders are left alone" in printed
    assert "5 of 5 recordings separated" in printed


BAD = {
    "empty.wav": "expected samples, found none",
    "text.wav": "expected audio that libsndfile reads",
    "silent.wav": "silent, nothing to separate",
    "short.wav": "too short, the model takes at least 0.006 s",
    "nan.wav": "expected finite samples, found NaN or inf between 10.0 and 20.0",
    "torn.flac": "expected 80000 samples, found 36864: the file was cut",
    "cut.mp3": "expected 80000 samples, found ",
    "gone.wav": "No such file or directory",
}


def test_bad_recordings_are_named_and_the_others_go_on(separate, capsys):
    put(np.zeros(0), "empty.wav")
    Path("text.wav").write_text("hello")
    put(np.zeros(8000), "silent.wav")
    put(noise(47), "short.wav")
    samples = noise(240_000)
    samples[100_000] = np.nan
    put(samples, "nan.wav", subtype="FLOAT")
    for name in ("torn.flac", "cut.mp3"):
        put(noise(80_000), name)
        os.truncate(name, os.path.getsize(name) // 2)
    put(noise(48), "good.wav")
    assert separate(*BAD, "good.wav") == 1
    printed = capsys.readouterr()
    assert "1 of 9 recordings separated" in printed.out
    lines = [x for x in printed.err.splitlines() if x.startswith("failed: ")]
    assert len(lines) == len(BAD)
    for name, message in BAD.items():
        (line,) = [line for line in lines if name in line]
        assert message in line
    assert found("out") == ["good_s1.wav", "good_s2.wav"]


def test_what_was_cut_is_separated_only_when_told(separate, capsys):
    put(noise(80_000), "in.wav")
    Path("cut.wav").write_bytes(Path("in.wav").read_bytes()[: 44 + 60_000])
    message = "cut.wav: expected 80000 samples, found 30000"
    assert separate("cut.wav") == 1
    assert f"{message}: the file was cut" in capsys.readouterr().err
    assert found("out") == []
    assert separate("cut.wav", "--allow_truncated") == 0
    assert message in capsys.readouterr().out
    assert soundfile.info("out/cut_s1.wav").frames == 30_000


def test_headers_that_claim_less_or_that_nothing_can_be_sought_in(
    separate, capsys
):
    samples = noise(130_000)  # more than a block of 10 s
    put(samples, "a.wav", "b.ogg", "c.flac")
    put(samples, "gsm.wav", subtype="GSM610")
    put(samples, "g721.wav", subtype="G721_32")
    data = bytearray(Path("a.wav").read_bytes())
    data[40:44] = (100_000).to_bytes(4, "little")
    Path("a.wav").write_bytes(data)
    Path("b.ogg").write_bytes(2 * Path("b.ogg").read_bytes())
    data = bytearray(Path("c.flac").read_bytes())
    data[21:26] = [data[21] & 0xF0, 0, 0, 0, 0]
    Path("c.flac").write_bytes(data)
    names = "a.wav", "b.ogg", "c.flac", "gsm.wav", "g721.wav"
    assert separate(*names) == 0
    printed = capsys.readouterr().out
    assert "a.wav: header claims 50000 samples, found 130000" in printed
    assert "b.ogg: header claims 130000 samples, found 260000" in printed
    assert "c.flac: no length in its header, found 130000 samples" in printed
    assert "gsm" not in printed and "g721" not in printed
    for name in names:
        length = soundfile.info(f"out/{name.partition('.')[0]}_s1.wav").frames
        expected = 260_000 if name == "b.ogg" else 130_000
        assert expected <= length < expected + 640  # GSM has blocks of 320


def test_channels_that_cancel_each_other(run_of_sb, separate, capsys):
    left, other = noise(16_000), noise(48_000).ravel()[32_000:]
    left = left.ravel()
    # Both have an offset, which does not cancel; the second is louder.
    put(np.stack([left, -1.1 * left], 1) + 0.1, "a.wav", subtype="FLOAT")
    put(np.stack([left, other], 1), "b.wav", subtype="FLOAT")
    put(np.stack([left, 0 * left], 1), "c.wav", subtype="FLOAT")
    assert separate("a.wav", "b.wav", "c.wav") == 0
    printed = capsys.readouterr().out
    # Of energies 1 and 1.21, and (1 - 1.1) ** 2 / 4 of their average.
    share = 100 * 0.0025 / 1.105
    assert (
        f"a.wav: channel 2 of 2 taken: the average keeps {share:.1f} %"
        in printed
    )
    assert "b.wav: 2 channels averaged" in printed
    assert "c.wav: 2 channels averaged" in printed
    words = "a.wav", "b.wav", "--channel=1", "--overwrite"
    assert separate(*words) == 0
    assert "b.wav: channel 1 of 2 taken\n" in capsys.readouterr().out
    mixture = torch.from_numpy(left).float()
    expected = Separation.from_run(run_of_sb[0])(mixture)
    first = soundfile.read("out/b_s1.wav")[0]
    assert np.allclose(first, expected[:, 0], atol=1e-6)
    assert separate("b.wav", "--channel=3", "--overwrite") == 1
    message = "b.wav: expected channel 3, found 2 channel(s)"
    assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        separate("b.wav", "--channel=0")
    assert "--channel: expected 1 or more" in capsys.readouterr().err


def test_files_are_overwritten_only_when_told(separate, capsys):
    put(noise(8000), "in.wav")
    assert separate("in.wav") == 0
    Path("out/in_s1.wav").unlink()
    Path("out/in_s2.wav").write_text("mine")
    assert separate("in.wav") == 1
    assert "in_s2.wav exists; --overwrite" in capsys.readouterr().err
    assert Path("out/in_s2.wav").read_text() == "mine"
    assert separate("in.wav", "--overwrite") == 0
    assert soundfile.info("out/in_s2.wav").frames == 8000


def test_what_cannot_begin_has_exit_code_2(separate, capsys):
    put(noise(8000), "x.wav")
    Path("a").mkdir()
    for words, message in (
        (["*.flac", "a"], "*.flac: expected recordings, found none"),
        (["x.wav", "--overlap_seconds=4.1"], "half a window of 64000 samples"),
        (["x.wav", "--stream"], "--norm_type=cLN --causal=True"),
    ):
        assert separate(*words) == 2
        assert message in capsys.readouterr().err
    assert separate("x.wav", model="a") == 2
    assert "neither a checkpoint" in capsys.readouterr().err
    more = ": expected more than 0, found "
    for words, message in (
        (["x.wav", "--batch_size=0"], f"--batch_size{more}0"),
        (["x.wav", "--window_seconds=inf"], f"--window_seconds{more}inf"),
        (["x.wav", "--window_seconds=-1"], f"--window_seconds{more}-1"),
        (["x.wav", "--overlap_seconds=nan"], f"--overlap_seconds{more}nan"),
        (["x.wav", "--overlap_seconds=0"], f"--overlap_seconds{more}0"),
        (["x.wav", "--block_ms=nan"], f"--block_ms{more}nan"),
        (["x.wav", "--suffix=a/b"], "--suffix: expected no folder, found a/b"),
        (["x.wav", ""], "found an empty one"),
        (["x.wav", "--output_folder="], "found an empty one"),
        (["x.wav", "--beside"], "not allowed with argument --output_folder"),
        (["x.wav", "--overwrite", "--skip_existing"], "not allowed with"),
    ):
        with pytest.raises(SystemExit, match="2"):
            separate(*words)
        assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_full_disks_and_memories_leave_nothing_half_written(separate, capsys):
    put(noise(160_000), "in.wav")
    put(noise(8000), "small.wav")
    full = RuntimeError("out of memory")
    with mock.patch("separator.Separator.forward", side_effect=full):
        assert separate("in.wav", "small.wav") == 1
    error = capsys.readouterr().err
    assert "in.wav: out of mem" in error and "small.wav: out of mem" in error
    assert found("out") == []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        assert separate("in.wav", "small.wav") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    printed = capsys.readouterr()
    assert "in_s1_wav cannot be written; is the disk full" in printed.err
    assert "1 of 2 recordings separated" in printed.out
    assert found("out") == ["small_s1.wav", "small_s2.wav"]


def test_of_two_that_write_the_same_sources_the_second_is_refused(tmp_path):
    paths = [tmp_path / "a_s1.wav", tmp_path / "a_s2.wav"]
    with pytest.raises(OSError, match="a_s1.wav, .*a_s2.wav exists by now"):
        with source_files(paths, 8000, 2, overwrite=False) as late:
            write(late, torch.tensor([[1.0, 2.0]]))
            with source_files(paths, 8000, 2, overwrite=False) as early:
                write(early, torch.tensor([[3.0, 4.0]]))
            write(late, torch.tensor([[1.0, 2.0]]))
    assert [soundfile.read(path)[0].tolist() for path in paths] == [[3], [4]]
    assert found(tmp_path) == ["a_s1.wav", "a_s2.wav"]


def test_sources_of_a_recording_are_complete_or_absent(tmp_path):
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    samples = torch.from_numpy(noise(2**20 + 100, 2)).float()
    with source_files(paths, 8000, len(samples)) as files:
        write(files, samples[:1000])
        write(files, samples[1000:])
        scale(files, torch.tensor([2.0, -3.0]))
        hidden = [Path(os.fsdecode(file.name)) for file in files]
        assert [path.name for path in hidden] == ["a_wav", "b_wav"]
        with pytest.raises(ValueError, match="expected recordings"):
            find_recordings([str(tmp_path)])
    for path, expected in zip(paths, (2 * samples[:, 0], -3 * samples[:, 1])):
        assert np.array_equal(soundfile.read(path)[0], expected)
        path.unlink()
    with pytest.raises(OSError, match="b_wav is incomplete"):
        with source_files(paths, 8000, len(samples)) as files:
            write(files, samples)
            os.truncate(files[1].name, 2**20)
    assert found(tmp_path) == []
    # 4 GiB do not fit into the header of a WAV file.
    for length, kind in ((2**30 - 2**18, "WAV"), (2**30, "RF64")):
        with source_files(paths[:1], 8000, length) as files:
            assert files[0].format == kind
