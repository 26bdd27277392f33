"""Scoring: the metrics that a YAML names, and the rows that they give."""

import functools

import numpy as np
import pytest
import torch
from metrics import METRICS, si_sdr
from scoring import score_signal
from scoring import Scorer, find_metrics, score_columns
from tiny_scoring import import_written, score, utterance

MODULE = """
import numpy as np

def plain(estimate, reference, rate): return float(np.sum(estimate))
def level(estimate, reference, rate, gain=1): return gain * np.abs(estimate).max()
class Object:
    def __init__(self, gain): self.gain = gain
    def __call__(self, estimate, reference, rate): return self.gain
text = "no function"
def source(*job): return 0
def si_sdri(*job): return 0
def pesq(*job): return 4.5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of metrics on the path."""
    (tmp_path / "broken_metrics.py").write_text("1 / 0")
    return import_written(tmp_path, "own_metrics", MODULE, monkeypatch)


def test_pool_gives_the_scores_of_the_functions_in_order(module):
    metrics = ["si_sdr", "sdr", "own_metrics.plain"]
    utterances = [utterance(number, sources=2) for number in range(40)]
    rows = score(metrics, *utterances, n_jobs=2)
    keys = [(row["ID"], row["source"]) for row in rows]
    assert keys == [(f"id{n}", s) for n in range(40) for s in ("s1", "s2")]
    functions = find_metrics(metrics)
    for number, row in enumerate(rows):
        one, source = utterances[number // 2], number % 2
        reference = one.reference[:, source]
        assert list(row)[4:] == score_columns(metrics[:2] + ["plain"])
        for name, metric in functions.items():
            expected = metric(one.estimate[:, source], reference, 8000)
            assert row[name] == expected
            assert row[f"{name}_mix"] == metric(one.mixture, reference, 8000)
        assert row["si_sdri"] == row["si_sdr"] - row["si_sdr_mix"]


def test_without_slow_metrics_no_process_starts(monkeypatch):
    monkeypatch.setattr("processes.ProcessPoolExecutor", None)
    (row,) = score(["si_sdr"], utterance())
    one = utterance()
    assert row["si_sdr"] == si_sdr(one.estimate[:, 0], one.reference[:, 0])


def test_queue_is_bounded():
    scorer = Scorer(["si_sdr"], 8000, n_jobs=1)
    for number in range(40):
        scorer.submit(utterance(number))
        assert len(scorer.pending) <= 16
    assert [row["ID"] for row in scorer.rows()] == [
        f"id{number}" for number in range(40)
    ]


def test_two_scorers_at_once(module):
    scorers = [Scorer(["own_metrics.plain"], 8000, n_jobs=1) for _ in range(2)]
    for number in range(6):
        scorers[number % 2].submit(utterance(number))
    first, second = (scorer.rows() for scorer in scorers)
    assert [row["ID"] for row in first] == ["id0", "id2", "id4"]
    assert [row["ID"] for row in second] == ["id1", "id3", "id5"]


def test_own_metrics_as_name_function_partial_and_object(module):
    for metric, expected in (
        ("own_metrics.level", 1),
        (module.level, 1),
        (functools.partial(module.level, gain=3), 3),
        (functools.partial(functools.partial(module.level), gain=4), 4),
    ):
        found = find_metrics([metric])
        assert list(found) == ["si_sdr", "level"]
        scores = score_signal(np.ones(4), np.ones(4), 8000, found)
        assert scores["level"] == (expected, None)
    metrics = [
        functools.partial(module.level, gain=3),
        module.Object(5),
        lambda *job: 6,
    ]
    (row,) = score(metrics, utterance())
    estimate = utterance().estimate
    assert row["level"] == np.float32(3) * np.abs(estimate).max()
    assert row["Object"] == 5
    assert row["<lambda>"] == 6


@pytest.mark.parametrize(
    "value",
    [
        2,
        np.float32(2),
        np.array([[2]]),
        torch.tensor(2.0, requires_grad=True),
        torch.tensor([2.0], dtype=torch.bfloat16),
    ],
)
def test_own_metric_may_return_any_kind_of_number(value):
    scores = score_signal(
        np.ones(4), np.ones(4), 8000, {"own": lambda *job: value}
    )
    assert scores == {"own": (2, None)}
    assert type(scores["own"][0]) is float


def test_own_metric_may_replace_a_built_in_but_not_stand_beside_it(module):
    assert find_metrics(["own_metrics.pesq"])["pesq"] is module.pesq
    assert find_metrics(["pesq", "metrics.pesq"])["pesq"] is METRICS["pesq"]
    with pytest.raises(ValueError, match="two functions have the name 'pesq'"):
        find_metrics(["pesq", "own_metrics.pesq"])


@pytest.mark.parametrize(
    "name, message",
    [
        ("speed", "is none of si_sdr, sdr, pesq, stoi, estoi"),
        ("own_metrics.missing", "has no attribute 'missing'"),
        ("missing_module.metric", "No module named 'missing_module'"),
        ("broken_metrics.metric", "ZeroDivisionError"),
        ("..metric", "relative import"),
        ("own_metrics.text", "is no function"),
        ("own_metrics.source", "'source' is the name of another column"),
        ("own_metrics.si_sdri", "'si_sdri' is the name of another column"),
        (None, "None is none of"),
        (3, "3 is no function"),
    ],
)
def test_what_is_no_metric_is_refused(module, name, message):
    with pytest.raises(ValueError, match=message):
        find_metrics(["stoi", name])
