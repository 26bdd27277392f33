"""A study of train.py itself, whole and with kills, as its users run it."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from recipe import HPARAMS, SAMPLES, SEPARATION
from server import TINY

WORDS = [o for o in TINY if "epochs" not in o] + ["--number_of_epochs=4"]


def start(folder):
    """Begins the command, as documented."""
    words = [
        *("hparams/convtasnet.yaml", f"--space={HPARAMS / 'tune.yaml'}"),
        *(f"--output_folder={folder}", "--n_trials=2"),
        f"--data_folder={SAMPLES}",
    ]
    return subprocess.Popen(
        [sys.executable, "tune.py", *words, *WORDS],
        cwd=SEPARATION,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(path):
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.01)


def results(folder):
    table = pd.read_csv(folder / "trials.csv", keep_default_na=False)
    return table.drop(columns="seconds").values.tolist()


@pytest.mark.nightly
def test_kills_of_tuner_and_training_change_no_trial(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "study"
    output, _ = start(whole).communicate()
    assert "Best: trial" in output, output[-3000:]
    assert not list(whole.rglob("test_*"))
    logs = [
        (f / "train_log.txt").read_text() for f in whole.glob("trials/[01]")
    ]
    assert all(log.count("epoch: ") == 4 for log in logs) and len(logs) == 2

    tuner = start(folder)
    wait_for(folder / "trials/0/train_log.txt")
    tuner.kill()
    tuner.communicate()
    tuner = start(folder)
    wait_for(folder / "trials/1/train_log.txt")
    lock = (folder / "trials/1/.lock").read_text()
    os.kill(int(lock.split()[1]), signal.SIGKILL)
    output, _ = tuner.communicate()
    assert tuner.returncode == 0, output[-3000:]
    assert "trial 1: killed (exit code -9), goes on" in output
    assert results(folder) == results(whole)
