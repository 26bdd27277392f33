"""Studies of the stand-in, in this process or in one that can be killed."""

import multiprocessing
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import stand_in
from matplotlib.figure import Figure
from tuning import report, training, tuner

SPACE = "lr: {low: 1.0e-3, high: 1.0e+3, log: true}\n"


class Study:
    """A study's folder, and its commands."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "a.yaml").write_text(
            "lr: 1\nB: 2\nn_test: null\nsave_folder: a\n"
        )
        self.arguments = {
            "hparams": str(folder / "a.yaml"),
            "space": self.space(SPACE),
            "output_folder": str(folder / "study"),
            "n_trials": 3,
        }

    def space(self, text):
        path = self.folder / "space.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def tune(self, *words, **changed):
        return tuner.tune(**{**self.arguments, **changed}, words=words)

    def start(self, *words, **changed):
        """Begins a command as a process of its own."""
        fork = multiprocessing.get_context("fork")
        target = partial(self.tune, *words, **changed)
        process = fork.Process(target=lambda: exit(target()))
        process.start()
        return process

    def table(self, name="study"):
        path = self.folder / name / "trials.csv"
        return pd.read_csv(path, keep_default_na=False)

    def results(self, name="study"):
        """The results without durations."""
        return self.table(name).drop(columns="seconds").values.tolist()

    def starts(self, name="study"):
        """Trial and process of each training that began."""
        path = self.folder / name / "starts.txt"
        text = path.read_text() if path.exists() else ""
        return [tuple(map(int, line.split())) for line in text.splitlines()]

    def wait_for(self, pattern, name="study"):
        """Waits until a file is there, below the study's folder."""
        until = time.monotonic() + 20
        while not list((self.folder / name).glob(pattern)):
            assert time.monotonic() < until, pattern
            time.sleep(0.01)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "TRAIN", Path(stand_in.__file__))
    monkeypatch.setattr(tuner, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(training, "STOP_SECONDS", 5)
    # A plot takes longer than a trial here.
    monkeypatch.setattr(report, "plot_study", lambda *_: Figure((1, 1)))
    return Study(tmp_path)
