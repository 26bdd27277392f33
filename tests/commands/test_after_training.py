"""The README's commands for a trained model, from another folder."""

import os
import shlex
import subprocess
import sys

import numpy as np
import separate_file
import soundfile
import torch
from made_runs import CAUSAL, make_run, make_tested_run
from recipe import SEPARATION, commands_of
from run_folders import contents
from streaming.streaming import StreamingSeparator

from speechbrain.inference.separation import SepformerSeparation

OFFLINE = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")


def put(length, *paths, rate=8000):
    """Writes recordings."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(length)
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, noise, rate)


def call(command):
    """Runs a command of the recipe as documented, without a network."""
    python, script, *words = shlex.split(command)
    assert python == "python"
    subprocess.run(
        [sys.executable, SEPARATION / script, *words],
        env={**os.environ, **OFFLINE, "HF_HUB_OFFLINE": "1"},
        check=True,
        timeout=300,
    )


def test_commands_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "results/convtasnet_SB/1234"
    make_tested_run(run)
    names = "meeting.wav", "recordings/a.wav", "calls/b.flac"
    put((30_000, 2), *(tmp_path / name for name in names), rate=16000)
    before = contents(run)
    one, several, exporting = [
        command
        for command in commands_of(SEPARATION / "README.md")
        if "separate_file.py" in command or "export.py" in command
    ]
    call(one)
    assert separate_file.main(shlex.split(several)[2:]) == 0
    call(exporting)
    assert contents(run) == before
    names = [
        f"{stem}_s{n}.wav" for stem in ("a", "b", "meeting") for n in (1, 2)
    ]
    assert sorted(os.listdir("separated")) == names

    # An export needs nothing of the run any more.
    run.rename(tmp_path / "gone")
    words = ["my_model", "meeting.wav", "--output_folder=again"]
    assert separate_file.main(words) == 0
    found = soundfile.read("again/meeting_s1.wav")[0]
    assert len(found) == 15_000
    of_run = soundfile.read("separated/meeting_s1.wav")[0]
    assert np.allclose(found, of_run, atol=1e-6)
    model = SepformerSeparation.from_hparams(source="my_model", savedir="saved")
    assert model.separate_batch(torch.zeros(1, 800)).shape == (1, 800, 2)


def test_a_causal_model_streams_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", **CAUSAL)
    put(30_001, tmp_path / "in.wav")
    call("python separate_file.py run in.wav --output_folder=cold --stream")
    sizes, push = [], StreamingSeparator.push

    def pushed(self, block):
        """Notes the size of a block."""
        sizes.append(len(block))
        return push(self, block)

    monkeypatch.setattr(StreamingSeparator, "push", pushed)
    words = ["run", "in.wav", "--output_folder"]
    stream = "--stream", "--block_ms=10"
    assert separate_file.main([*words, "live", *stream]) == 0
    assert sizes == [80] * 375 + [1]
    assert separate_file.main([*words, "whole", "--window_seconds=4"]) == 0
    whole = soundfile.read("whole/in_s1.wav")[0]
    for folder in ("cold", "live"):
        found = soundfile.read(f"{folder}/in_s1.wav")[0]
        assert len(found) == 30_001 and np.allclose(found, whole, atol=1e-5)
