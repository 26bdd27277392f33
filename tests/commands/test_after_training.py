"""The README's commands for a trained model, from another folder."""

import os
import shlex
import subprocess
import sys
from unittest import mock

import numpy as np
import separate_file
import soundfile
from made_runs import CAUSAL, make_run, make_tested_run, noise, put
from recipe import SEPARATION, commands_of
from run_folders import contents
from streaming.streaming import StreamingSeparator

OFFLINE = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")


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
    put(noise(30_000, 2), *names, rate=16000)
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


def test_a_causal_model_streams_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", **CAUSAL)
    put(noise(30_001), "in.wav")
    call("python separate_file.py run in.wav --output_folder=cold --stream")
    words = ["run", "in.wav", "--output_folder"]
    stream, push = ["--stream", "--block_ms=10"], StreamingSeparator.push
    with mock.patch.object(
        StreamingSeparator, "push", autospec=True, side_effect=push
    ) as pushes:
        assert separate_file.main([*words, "live", *stream]) == 0
    sizes = [
        len(block) for _, block in (call.args for call in pushes.mock_calls)
    ]
    assert sizes == [80] * 375 + [1]
    assert separate_file.main([*words, "whole", "--window_seconds=4"]) == 0
    whole = soundfile.read("whole/in_s1.wav")[0]
    for folder in ("cold", "live"):
        found = soundfile.read(f"{folder}/in_s1.wav")[0]
        assert len(found) == 30_001 and np.allclose(found, whole, atol=1e-5)
