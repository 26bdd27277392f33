"""separate_file.py takes what users have, and leaves nothing half done."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import separate_file
import soundfile
import torch
from inference.audio_files import Recording
from inference.separation import Separation
from made_runs import make_run
from recipe import SEPARATION
from torchaudio.functional import resample


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run for SB."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    make_run(folder, task="SB")
    return folder


def noise(length, channels=1, seed=0):
    """Soft noise, [time, channel]."""
    return 0.05 * np.random.default_rng(seed).standard_normal(
        (length, channels)
    )


def separate(run, *arguments):
    """Runs the script in this process; returns its exit code."""
    return separate_file.main([str(run), *map(str, arguments), "--device=cpu"])


def read(path):
    """Samples of a file."""
    return soundfile.read(path, dtype="float32")[0]


@pytest.mark.parametrize("rate", [8000, 44100, 16000, 11025, 6000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_rate_and_number_of_channels(tmp_path, run, rate, channels, capsys):
    path = tmp_path / "in.wav"
    samples = noise(13 * rate + 17, channels)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    options = "--output_folder", tmp_path / "out", "--window_seconds=30"
    assert separate(run, path, *options) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert (f"{channels} channels averaged" in text) == (channels > 1)
    assert (f"{rate} Hz resampled to 8000 Hz" in text) == (rate != 8000)
    mixture = torch.from_numpy(samples).float().mean(1)
    mixture = resample(mixture, rate, 8000)
    expected = Separation.from_run(run, window_seconds=30)(mixture)
    for number in (1, 2):
        file = tmp_path / "out" / f"in_s{number}.wav"
        assert soundfile.info(file).samplerate == 8000
        assert np.allclose(read(file), expected[:, number - 1], atol=1e-6)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_blocks_of_a_recording_are_the_whole_of_it(tmp_path):
    """Also where a block ends shortly before the file does."""
    for length in (441_000, 441_001, 445_000, 900_000):
        samples = noise(length)
        soundfile.write(tmp_path / "in.wav", samples, 44100, subtype="FLOAT")
        recording = Recording(tmp_path / "in.wav", 8000)
        found = torch.cat(list(recording.blocks()))
        expected = resample(
            torch.from_numpy(samples[:, 0]).float(), 44100, 8000
        )
        assert len(found) == recording.length == len(expected)
        assert torch.allclose(found, expected, atol=1e-6)


def test_folders_patterns_and_formats(tmp_path, run, capsys):
    names = "in/a.flac", "in/deep/b.ogg", "more/c.aiff", "d.mp3"
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, noise(9000), 8000)
    (tmp_path / "in/notes.txt").write_text("no audio")
    inputs = tmp_path / "in", f"{tmp_path}/*/*.aiff", tmp_path / "d.mp3"
    assert separate(run, *inputs, "--output_folder", tmp_path / "out") == 0
    found = sorted(
        str(p.relative_to(tmp_path / "out"))
        for p in (tmp_path / "out").rglob("*.wav")
    )
    stems = "a", "c", "d", "deep/b"
    assert found == [f"{stem}_s{n}.wav" for stem in stems for n in (1, 2)]
    printed = capsys.readouterr().out
    assert "1 other files in folders are left alone" in printed
    assert "4 of 4 recordings separated" in printed


BAD = {
    "empty.wav": "expected samples, found none",
    "text.wav": "expected audio that libsndfile reads",
    "silent.wav": "silent, nothing to separate",
    "short.wav": "too short, the model takes at least 0.006 s",
    "nan.wav": "expected finite samples, found NaN or inf between 10.0 and 20.0",
    "gone.wav": "No such file or directory",
}


def make_bad(folder):
    """The files of BAD but the missing one, and a good one."""
    soundfile.write(folder / "empty.wav", np.zeros(0), 8000)
    (folder / "text.wav").write_text("hello")
    soundfile.write(folder / "silent.wav", np.zeros(8000), 8000)
    soundfile.write(folder / "short.wav", noise(40), 8000)
    samples = noise(240_000)
    samples[100_000] = np.nan
    soundfile.write(folder / "nan.wav", samples, 8000, subtype="FLOAT")
    soundfile.write(folder / "good.wav", noise(8000), 8000)


def test_bad_recordings_are_named_and_the_others_go_on(tmp_path, run, capsys):
    make_bad(tmp_path)
    inputs = [tmp_path / name for name in [*BAD, "good.wav"]]
    out = tmp_path / "out"
    assert separate(run, *inputs, "--output_folder", out) == 1
    printed = capsys.readouterr()
    assert "1 of 7 recordings separated" in printed.out
    lines = [x for x in printed.err.splitlines() if x.startswith("failed: ")]
    assert len(lines) == len(BAD)
    for name, message in BAD.items():
        (line,) = [line for line in lines if name in line]
        assert message in line
    assert sorted(os.listdir(out)) == ["good_s1.wav", "good_s2.wav"]


def test_a_file_that_was_cut_is_told(tmp_path, run, capsys):
    soundfile.write(tmp_path / "in.flac", noise(80_000), 8000)
    content = (tmp_path / "in.flac").read_bytes()
    (tmp_path / "in.flac").write_bytes(content[: len(content) // 2])
    out = tmp_path / "out"
    assert separate(run, tmp_path / "in.flac", "--output_folder", out) == 1
    assert "in.flac: " in capsys.readouterr().err
    assert os.listdir(out) == []


def test_files_are_overwritten_only_when_told(tmp_path, run, capsys):
    soundfile.write(tmp_path / "in.wav", noise(8000), 8000)
    arguments = tmp_path / "in.wav", "--output_folder", tmp_path / "out"
    assert separate(run, *arguments) == 0
    kept = tmp_path / "out/in_s2.wav"
    kept.write_text("mine")
    assert separate(run, *arguments) == 1
    assert "in_s2.wav exists; --overwrite" in capsys.readouterr().err
    assert kept.read_text() == "mine"
    assert separate(run, *arguments, "--overwrite") == 0
    assert len(read(kept)) == 8000


def test_sources_never_meet_another_file(tmp_path, run, capsys):
    for name in ("a/x.wav", "b/x.wav", "x_s1.wav", "x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, noise(8000), 8000)
    both = tmp_path / "a/x.wav", tmp_path / "b/x.wav"
    assert separate(run, *both, "--output_folder", tmp_path / "out") == 2
    assert "would both become" in capsys.readouterr().err
    both = tmp_path / "x.wav", tmp_path / "x_s1.wav"
    assert separate(run, *both, "--output_folder", tmp_path) == 2
    assert "is a recording to be separated" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_cannot_begin_has_exit_code_2(tmp_path, run, capsys):
    out = "--output_folder", tmp_path / "out"
    assert separate(tmp_path, tmp_path / "in.wav", *out) == 2
    assert separate(run, f"{tmp_path}/*.wav", *out) == 2
    assert separate(run, tmp_path / "in.wav", *out, "--overlap_seconds=5") == 2
    text = capsys.readouterr().err
    for message in (
        "neither a checkpoint",
        "no recordings in",
        "half a window",
    ):
        assert message in text


def test_a_full_disk_leaves_nothing_half_written(tmp_path, run):
    soundfile.write(tmp_path / "in.wav", noise(160_000), 8000)
    soundfile.write(tmp_path / "small.wav", noise(8000), 8000)
    inputs = [tmp_path / "in.wav", tmp_path / "small.wav"]
    done = subprocess.run(
        [sys.executable, SEPARATION / "separate_file.py", run, *inputs]
        + ["--output_folder", tmp_path / "out", "--device=cpu"],
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (300_000, 300_000)
        ),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1
    assert "cannot be written; is the disk full?" in done.stderr
    assert "1 of 2 recordings separated" in done.stdout
    names = sorted(os.listdir(tmp_path / "out"))
    assert names == ["small_s1.wav", "small_s2.wav"]


@pytest.mark.parametrize(
    "option",
    [
        "--batch_size=0",
        "--window_seconds=inf",
        "--window_seconds=nan",
        "--block_ms=-3",
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, run, option, capsys):
    with pytest.raises(SystemExit) as end:
        separate(run, tmp_path / "x.wav", f"--output_folder={tmp_path}", option)
    assert end.value.code == 2
    name, _, value = option.partition("=")
    expected = f"{name}: expected more than 0, found {value}"
    assert expected in capsys.readouterr().err
