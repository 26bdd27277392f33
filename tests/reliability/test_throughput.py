"""Measurements of a training, by a clock that the test winds."""

import time

import pytest
from toys import fit, toy

import speechbrain as sb


@pytest.fixture
def clock(monkeypatch):
    """A list whose sum is the time, in seconds."""
    times = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: sum(times))
    return times


class Slow:
    """Numbers that are each read in 2 seconds."""

    def __init__(self, clock):
        self.clock = clock

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.clock.append(2.0)
        return index


def test_reading_is_waiting_and_the_rest_computing_in_each_epoch(
    tmp_path, clock
):
    brain = toy(tmp_path, 2, lambda stage, name: clock.append(3.0))
    fit(brain, Slow(clock), batch_size=5)
    stats = brain.train_stats
    assert stats["waiting_seconds"] == 10 * 2
    assert stats["computing_seconds"] == 2 * 3
    assert stats["items_per_second"] == pytest.approx(10 / 26)


def test_an_epoch_without_batches_has_no_items_per_second(tmp_path):
    brain = toy(tmp_path)
    brain.on_stage_start(sb.Stage.TRAIN, epoch=1)
    brain.on_stage_end(sb.Stage.TRAIN, 0.0, 1)
    assert brain.train_stats == {
        "loss": 0.0,
        "waiting_seconds": 0.0,
        "computing_seconds": 0.0,
        "nonfinite_gradient_steps": 0,
    }
