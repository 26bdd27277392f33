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
from inference.audio_files import find_recordings, scale, source_files, write
from inference.separation import Separation
from made_runs import noise, put
from torchaudio.functional import resample


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
    mixture = torch.from_numpy(samples).float().mean(1)
    mixture = resample(mixture, rate, 8000)
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
    "torn.flac": "damaged after 0.0 s",
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
    put(noise(8000), "a/x.wav", "b/x.wav", "x_s1.wav", "x.wav")
    for words, message in (
        (["a/x.wav", "b/x.wav"], "would both become"),
        (["x.wav", "x_s1.wav", "--output_folder=a/.."], "to be separated"),
        (["*.flac"], "no recordings in"),
        (["x.wav", "--overlap_seconds=4.1"], "half a window of 64000 samples"),
        (["x.wav", "--overlap_seconds=0"], "more than 0"),
        (["x.wav", "--stream"], "--norm_type=cLN --causal=True"),
    ):
        assert separate(*words) == 2
        assert message in capsys.readouterr().err
    assert separate("x.wav", model="a") == 2
    assert "neither a checkpoint" in capsys.readouterr().err
    for option in ("batch_size=0", "window_seconds=inf", "block_ms=nan"):
        with pytest.raises(SystemExit, match="2"):
            separate("x.wav", f"--{option}")
        message = option.replace("=", ": expected more than 0, found ")
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
        hidden = [Path(file.name) for file in files]
        assert [path.name for path in hidden] == ["a_wav", "b_wav"]
        with pytest.raises(ValueError, match="no recordings"):
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
