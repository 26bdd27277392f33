"""The README's commands for a trained model, from another folder."""

import os
import shutil
import subprocess
import sys

import numpy as np
import soundfile
import torch
from made_runs import CAUSAL, make_run
from recipe import SEPARATION
from summary import write_summary
from test_repository import commands_of

from speechbrain.inference.separation import SepformerSeparation

SCORES = """ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri
a,SER,indoor,s1,5.0,1.0,4.0
a,SER,indoor,s2,3.0,1.0,2.0
"""


def call(command, folder):
    """Runs a command without a network; returns what it printed."""
    offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **offline, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_commands_of_the_readme(tmp_path):
    run = tmp_path / "results/convtasnet_SB/1234"
    make_run(run, task="SB")
    (run / "test_scores.csv").write_text(SCORES, encoding="utf-8")
    write_summary(run, ["SER"], "SB")
    noise = 0.1 * np.random.default_rng(0).standard_normal((30_000, 2))
    for name in ("meeting.wav", "recordings/a.wav", "calls/b.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, noise, 16000)
    before = sorted(run.rglob("*"))
    commands = [
        command
        for command in commands_of(SEPARATION / "README.md")
        if "separate_file.py" in command or "export.py" in command
    ]
    assert len(commands) == 3
    for command in commands:
        words = command.replace('"', "").split()
        assert words[0] == "python"
        call([sys.executable, SEPARATION / words[1], *words[2:]], tmp_path)
    assert sorted(run.rglob("*")) == before
    names = sorted(p.name for p in (tmp_path / "separated").iterdir())
    stems = "a", "b", "meeting"
    assert names == [f"{stem}_s{n}.wav" for stem in stems for n in (1, 2)]

    # An export needs nothing of the run any more.
    shutil.move(run, tmp_path / "gone")
    words = ["my_model", "meeting.wav", "--output_folder=again"]
    call([sys.executable, SEPARATION / "separate_file.py", *words], tmp_path)
    model = SepformerSeparation.from_hparams(
        source=str(tmp_path / "my_model"), savedir=str(tmp_path / "saved")
    )
    mixture, _ = soundfile.read(tmp_path / "again/meeting_s1.wav")
    assert len(mixture) == 15_000
    estimates = model.separate_batch(torch.zeros(1, 800))
    assert estimates.shape == (1, 800, 2)


def test_a_causal_model_streams_a_file(tmp_path):
    make_run(tmp_path / "run", **CAUSAL)
    noise = 0.1 * np.random.default_rng(0).standard_normal(30_001)
    soundfile.write(tmp_path / "in.wav", noise, 8000, subtype="FLOAT")
    found = {}
    for folder, options in {
        "whole": ["--window_seconds=10"],
        "stream": ["--stream", "--block_ms=10"],
    }.items():
        words = ["run", "in.wav", f"--output_folder={folder}", *options]
        call(
            [sys.executable, SEPARATION / "separate_file.py", *words], tmp_path
        )
        found[folder], rate = soundfile.read(tmp_path / folder / "in_s1.wav")
        assert rate == 8000 and len(found[folder]) == 30_001
    assert np.allclose(found["whole"], found["stream"], atol=1e-5)


def test_a_model_that_is_not_causal_does_not_stream(tmp_path):
    make_run(tmp_path / "run")
    words = ["run", "in.wav", "--output_folder=out", "--stream"]
    done = subprocess.run(
        [sys.executable, SEPARATION / "separate_file.py", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert "--norm_type=cLN --causal=True" in done.stderr
    assert not (tmp_path / "out").exists()
