"""The benchmarks of the data pipeline and of a step: their arithmetic."""

import importlib
import sys
import time
from collections import Counter

import mixtures as mixer
import torch
from recipe import ROOT

sys.path.append(str(ROOT / "tools"))
stages = importlib.import_module("bench_data_stages")
text = importlib.import_module("bench_data_text")
step = importlib.import_module("profile_step")


def test_each_stage_gets_the_time_that_is_spent_in_it(monkeypatch):
    now = [0.0]

    def after(seconds, value=None):
        now[0] += seconds
        return value

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(mixer, "_read", lambda: after(1))
    monkeypatch.setattr(
        mixer.Mixer, "__call__", lambda self: after(2, mixer._read())
    )
    own = mixer._read, mixer.Mixer.__call__

    def collate(items):
        return after(8, items)

    hparams = {"train_loader_kwargs": {"collate_fn": collate}}

    def batches():
        made = mixer.Mixer("ES", ["SER"], seed=1, sample_rate=8000)
        for size in (3, 1):
            items = [after(4, made()) for _ in range(size)]
            yield hparams["train_loader_kwargs"]["collate_fn"](items)

    found = stages.time_stages(hparams, batches)
    expected = {"reading": 1, "mixing": 2, "pipeline": 4, "batch": 16 / 4}
    assert found == {name: 1e6 * s for name, s in expected.items()}
    assert (mixer._read, mixer.Mixer.__call__) == own
    assert hparams["train_loader_kwargs"]["collate_fn"] is collate


def test_stages_are_medians_of_the_rounds():
    rows = [
        {"task": "ES", "files": "packed", **dict.fromkeys(stages.STAGES, n)}
        for n in (1.0, 5.0, 2.0)
    ]
    assert text.stages_table(rows)[2:] == ["| ES | packed | 2 | 2 | 2 | 2 |"]


def test_limits_of_a_step_by_hand():
    # 2 s of stock, 1 s of ours, of which products take 0.8 s.
    counted = Counter({"aten::bmm": 4.0, "aten::mm": 4.0, "aten::mul": 2.0})
    systems = {"stock_fp32": ([], [2.0]), "ours_fp32": ([counted], [1.0])}
    lines = step.limits_table(
        {"forward pass": systems}, {"forward pass": 8e10}, rate=2e11
    )
    assert lines[2].split(" | ") == (
        "| forward pass | 2000 | 1000 | 2.00 | 2.0 | 800 | 100 | 2.50 | 5.00 |"
    ).split(" | ")


def test_small_shares_are_not_listed():
    rounds = [Counter(a=9.9, b=0.1), Counter(a=9.0, b=1.0), Counter(a=10)]
    assert step.shares_table(rounds)[2:] == ["| `a` | 99 |"]
    rounds = [Counter(a=1, b=2)]
    assert step.shares_table(rounds)[2:] == ["| `b` | 67 |", "| `a` | 33 |"]


def test_operations_are_found_by_name():
    found = step.seconds_by_operation(lambda: torch.ones(9, 9) @ torch.ones(9))
    assert found["aten::mv"] > 0 and "aten::bmm" not in found
