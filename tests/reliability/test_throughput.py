"""Measurements of a training, on a Brain small enough to check."""

import time

import pytest
from toy_brain import LOADER, fit, toy

from speechbrain import Stage


class Slow:
    """Numbers that are each read in some seconds."""

    def __init__(self, number, seconds):
        self.number = number
        self.seconds = seconds

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return index


def test_slow_reading_is_waiting_and_slow_forward_is_computing(tmp_path):
    brain = toy(tmp_path, at=lambda stage, name: time.sleep(0.03))
    # sleep may not return early, so these are lower limits on any machine.
    brain.fit([1], Slow(10, 0.02), train_loader_kwargs={**LOADER})
    stats = brain.train_stats
    assert stats["waiting_seconds"] >= 10 * 0.02
    assert stats["computing_seconds"] >= 10 * 0.03
    total = stats["waiting_seconds"] + stats["computing_seconds"]
    assert stats["items_per_second"] == pytest.approx(10 / total)


def test_every_epoch_is_measured_on_its_own(tmp_path):
    brain = toy(tmp_path, epochs=3)
    fit(brain, range(8))
    assert brain.trained_items == 8


def test_an_epoch_without_batches_has_no_items_per_second(tmp_path):
    brain = toy(tmp_path)
    brain.on_stage_start(Stage.TRAIN, epoch=1)
    brain.on_stage_end(Stage.TRAIN, 0.0, 1)
    assert brain.train_stats == {
        "loss": 0.0,
        "waiting_seconds": 0.0,
        "computing_seconds": 0.0,
        "nonfinite_gradient_steps": 0,
    }
