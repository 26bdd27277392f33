"""Scoring: utterances, rows, processes that die, saved audio."""

import importlib
import logging
import multiprocessing
import sys

import numpy as np
import pytest
import scoring
import soundfile
import torch
from losses import pairwise_si_sdr
from metrics import METRICS, si_sdr
from scores import batch, scorer_of, submit
from scoring import DIED, Scorer, Utterance, utterances_of, validation_rows

NAN = np.nan
# Metrics that a scoring process has to import.
MODULE = """
import os, sys, time
import metrics

def dies_of_ones(estimate, *job): return os._exit(3) if estimate[0] == 1 else 7
def loads_torch(*job): return "torch" in sys.modules
def threads(*job): return int(os.environ["OMP_NUM_THREADS"])
def process(*job): return os.getpid()
def endless(*job): return open("begun", "w"), time.sleep(60)
OWN = {f.__name__: f for f in (dies_of_ones, loads_torch, threads, process, endless)}

def score_signal(*job):
    metrics.METRICS.update(OWN)
    return metrics.score_signal(*job)
"""
# A command that is killed while a process scores.
KILLED = """
import os, signal, time, own_metrics, scores, scoring
scoring.METRICS.update(own_metrics.OWN)
scoring.score_signal = own_metrics.score_signal
scores.submit(scores.scorer_of(".", ["endless"]), *scores.batch())
while not os.path.exists("begun"):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def own_metrics(tmp_path, monkeypatch):
    """Lets scoring processes know the metrics of MODULE."""
    (tmp_path / "own_metrics.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_metrics", raising=False)
    importlib.invalidate_caches()
    module = importlib.import_module("own_metrics")
    for name, metric in module.OWN.items():
        monkeypatch.setitem(METRICS, name, metric)
    monkeypatch.setattr(scoring, "score_signal", module.score_signal)


@pytest.fixture(autouse=True)
def no_process_stays():
    """Every test ends without a scoring process."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def test_rows_are_the_scores_of_the_functions_in_order(tmp_path):
    metrics = ["sdr", "stoi", "si_sdr"]
    scorer = scorer_of(tmp_path, metrics, sources=2, n_jobs=2)
    order = torch.tensor([[1, 0]] * 2)
    expected, most = [], 0
    for number in range(0, 40, 2):
        items, estimate = batch(number, (4000, 3500), sources=2)
        scorer.submit(items, estimate.flip(2), order)
        most = max(most, len(scorer.pending))
        for one in utterances_of(items, estimate.flip(2), order, None):
            for source, name in enumerate(("s1", "s2")):
                row = {**one.labels, "source": name}
                for name in ("si_sdr", "sdr", "stoi"):
                    score, reference = METRICS[name], one.reference[:, source]
                    estimated = one.estimate[:, source]
                    row[name] = score(estimated, reference, 8000)
                    row[f"{name}_mix"] = score(one.mixture, reference, 8000)
                    if name == "si_sdr":
                        row["si_sdri"] = row["si_sdr"] - row["si_sdr_mix"]
                expected.append(row)
    assert 2 < most <= 32  # the queue is bounded
    rows = scorer.rows()
    assert rows == expected
    assert [list(row) for row in rows] == [list(row) for row in expected]
    assert rows[0]["si_sdri"] > 5  # the estimate is better than the mixture


def test_without_slow_metrics_no_process_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "ProcessPoolExecutor", None)
    scorer = scorer_of(tmp_path, [])
    made, estimate = batch()
    submit(scorer, made, estimate)
    (row,) = scorer.rows()
    reference = made.sources_sig[0][0, :, 0].numpy()
    assert row["si_sdr"] == si_sdr(estimate[0, :, 0].numpy(), reference)
    assert list(tmp_path.iterdir()) == []  # no audio either


@pytest.mark.parametrize(
    "metrics, rate, message",
    [
        (
            ["speed"],
            8000,
            r"out of si_sdr, sdr, pesq, stoi, estoi, found \['sp",
        ),
        ("pesq", 8000, "found 'pesq'"),
        ([None], 8000, "found .None"),
        (["pesq"], 11025, "pesq is defined at .8000, 16000. Hz.*is 11025"),
    ],
)
def test_metrics_that_do_not_exist_are_refused(metrics, rate, message):
    with pytest.raises(ValueError, match=message):
        Scorer(metrics, "ES", rate, "nowhere")


def test_ranks_share_the_cores(monkeypatch):
    monkeypatch.setattr(scoring, "get_available_cpu_count", lambda: 9)
    for ranks, n_jobs in ((1, 9), (4, 2), (16, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        assert Scorer([], "ES", 8000, "nowhere").n_jobs == n_jobs


def test_nan_estimate_leaves_the_other_source_and_the_mixture(tmp_path, caplog):
    made, estimate = batch(sources=2)
    estimate[0, 5, 0] = np.nan
    scorer = scorer_of(tmp_path, ["sdr"], sources=2)
    with caplog.at_level(logging.WARNING):
        submit(scorer, made, estimate)
        first, second = scorer.rows()
    assert first["si_sdr"] == first["sdr"] == -100
    assert first["si_sdri"] == -100 - first["si_sdr_mix"]
    assert np.isfinite([second["si_sdr"], second["si_sdri"]]).all()
    assert np.isfinite([first["si_sdr_mix"], first["sdr_mix"]]).all()
    assert caplog.text.count("not finite") == 2
    assert "s1, si_sdr: " in caplog.text and "'id0'" in caplog.text


def test_floors_are_for_estimates_and_not_for_the_mixture(tmp_path):
    made, estimate = batch()
    made.mix_sig[0].zero_()
    scorer = scorer_of(tmp_path)
    submit(scorer, made, 0 * estimate)
    (row,) = scorer.rows()
    assert row["si_sdr"] == -100
    assert np.isnan([row["si_sdr_mix"], row["si_sdri"]]).all()


def test_process_that_dies_costs_one_score(own_metrics, tmp_path, caplog):
    scorer = scorer_of(tmp_path, ["dies_of_ones", "sdr"], n_jobs=2)
    batches = [batch(number) for number in range(3)]
    batches[1][1][0, 0] = 1
    with caplog.at_level(logging.WARNING):
        for made, estimate in batches:
            submit(scorer, made, estimate)
        rows = scorer.rows()
    assert [row["ID"] for row in rows] == ["id0", "id1", "id2"]
    found = [row["dies_of_ones"] for row in rows]
    np.testing.assert_equal(found, [7, np.nan, 7])
    for row, (made, estimate) in zip(rows, batches):
        assert row["dies_of_ones_mix"] == 7
        reference = made.sources_sig[0][0, :, 0].numpy()
        expected = METRICS["sdr"](estimate[0, :, 0].numpy(), reference)
        assert row["sdr"] == expected
    assert caplog.text.count(f"s1, dies_of_ones: {DIED}") == 1


def test_processes_are_light_and_end_with_the_rows(
    own_metrics, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    scorer = scorer_of(tmp_path, ["loads_torch", "threads", "process"])
    processes = set()
    for number in range(2):
        submit(scorer, *batch(number))
        (row,) = scorer.rows()
        assert row["ID"] == f"id{number}"
        assert row["loads_torch"] == 0 and row["threads"] == 1
        processes.add(row["process"])
    assert len(processes) == 2 and scorer.rows() == []


def test_processes_do_not_outlive_what_started_them(server, tmp_path):
    (tmp_path / "own_metrics.py").write_text(MODULE)
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    run = server.start(tmp_path / "killed", script, folder=tmp_path)
    ended = run.end()
    assert ended.code == -9 and (tmp_path / "begun").exists(), ended.output
    assert run.left() == []


def test_validation_rows_are_improvements_and_tell_silence():
    items, _ = batch(0, (500, 400), sources=2)
    reference, lengths = items.sources_sig
    reference[1, :, 0] = 0
    si_sdr = torch.tensor([[10.0, 20.0], [30.0, -100.0]])
    rows = validation_rows(items, si_sdr)
    floors = [row["is_floor"] for row in rows]
    assert floors == [False, False, False, True]
    assert [row["ID"] for row in rows] == ["id0", "id0", "id1", "id1"]
    assert [row["variant"] for row in rows] == ["S", "S", "SER", "SER"]
    assert [row["silent"] for row in rows] == [False, False, True, False]
    mixture = items.mix_sig[0].unsqueeze(-1)
    baseline = pairwise_si_sdr(mixture, reference, lengths)[:, 0]
    expected = (si_sdr - baseline).flatten()
    expected[2] = torch.nan
    found = [row["si_sdri"] for row in rows]
    np.testing.assert_array_equal(found, expected)


def heard(estimate, reference):
    """The signals to listen to, from estimate and reference, [time, source]."""
    mixture = reference.sum(-1)
    return Utterance({}, ["s1", "s2"], estimate, reference, mixture).signals()


@pytest.mark.parametrize("gain", [-7, 1e-4, 1e15, 1e-25])
def test_heard_is_the_closest_multiple_at_any_scale_and_sign(gain):
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((4000, 2)).astype("float32")
    noisy = reference + 0.3 * generator.standard_normal((4000, 2))
    estimate = (gain * noisy).astype("float32")
    kept = estimate.copy(), reference.copy()
    signals = heard(estimate, reference)
    assert np.array_equal(kept, (estimate, reference))
    for source, name in enumerate(("estimate s1", "estimate s2")):
        one = noisy[:, [source]]
        factor = np.linalg.lstsq(one, reference[:, source], rcond=None)[0]
        assert signals[name].dtype == np.float32
        assert np.allclose(signals[name], one @ factor, atol=1e-5)


@pytest.mark.parametrize("value", [0, np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("error")
def test_silent_or_broken_estimate_leaves_the_other(value):
    reference = np.random.default_rng(0).standard_normal((100, 2))
    estimate = -2 * reference
    estimate[:, 0] = estimate[:, 0] * (value != 0)
    estimate[50, 0] = value
    expected = {
        "mixture": reference.sum(-1),
        "estimate s1": np.nan_to_num(estimate[:, 0], posinf=0, neginf=0),
        "estimate s2": reference[:, 1],
        "reference s1": reference[:, 0],
        "reference s2": reference[:, 1],
    }
    signals = heard(estimate, reference)
    assert list(signals) == list(expected)
    found = list(signals.values())
    np.testing.assert_allclose(found, list(expected.values()), atol=1e-12)


@pytest.mark.parametrize("lengths", [(1000, 701, 251), (7, 16000, 1009)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_is_cut_exactly_and_estimates_are_in_order(lengths, dtype):
    items, _ = batch(0, lengths, sources=3)
    orders = torch.tensor([[2, 0, 1], [0, 1, 2], [1, 2, 0]])
    estimate = -4 * items.sources_sig[0].to(dtype) + 0.1
    mixed = torch.empty_like(estimate)
    for item, order in enumerate(orders):  # reference k is at order[k]
        mixed[item, :, order] = estimate[item]
    found = utterances_of(items, mixed, orders, ["a", "b", "c"])
    for item, (one, length) in enumerate(zip(found, lengths)):
        assert one.labels == {
            "ID": f"id{item}",
            "variant": ["S", "SER", "C"][item],
            "setting": ["outdoor", "indoor", "indoor"][item],
        }
        assert one.sources == ["a", "b", "c"]
        for signal, whole in (
            (one.estimate, estimate.float()),
            (one.reference, items.sources_sig[0]),
            (one.mixture, items.mix_sig[0]),
        ):
            assert signal.dtype == np.float32
            assert np.array_equal(signal, whole[item, :length])
    assert len(found) == 3


def save_audio(folder):
    """Saves the audio of one of two batches; returns it as it is heard."""
    scorer = scorer_of(folder, sources=2)
    made, estimate = batch(0, sources=2, save_audio=True)
    submit(scorer, made, estimate)
    submit(scorer, *batch(1, sources=2))
    scorer.rows()
    order = torch.tensor([[0, 1]])
    return utterances_of(made, estimate, order, ["s1", "s2"])[0].signals()


def test_files_hold_what_is_heard_bit_for_bit(tmp_path):
    signals = save_audio(tmp_path / "deep")
    names = {f"id0_S_{name.replace(' ', '_')}.wav": name for name in signals}
    files = list((tmp_path / "deep/audio").iterdir())
    assert {path.name for path in files} == set(names)
    assert np.abs(signals["mixture"]).max() > 2  # and nothing is clipped
    for path in files:
        info = soundfile.info(path)
        assert (info.format, info.subtype) == ("WAV", "FLOAT")
        samples, rate = soundfile.read(path)
        assert rate == 8000
        assert np.array_equal(samples, signals[names[path.name]])


def test_clear_leaves_nothing_of_an_earlier_model(tmp_path):
    save_audio(tmp_path)
    mine = tmp_path / "audio/notes.txt"
    mine.write_text("of the user")
    for name in ("test_scores.csv", "test_summary.csv"):
        (tmp_path / name).write_text("old")
    scorer_of(tmp_path).clear()
    assert list((tmp_path / "audio").iterdir()) == [mine]
    assert list(tmp_path.iterdir()) == [tmp_path / "audio"]


@pytest.mark.parametrize("place", ["folder", "file"])
def test_unwritable_folder_is_named(tmp_path, place):
    folder = tmp_path / "audio"
    if place == "folder":
        folder.write_text("a file")
    else:
        (folder / "id0_S_mixture.wav").mkdir(parents=True)
    with pytest.raises(OSError, match="save_audio: .*--save_audio=0") as error:
        save_audio(tmp_path)
    assert str(folder) in str(error.value)


def test_scores_file_is_sorted_rounded_and_complete(tmp_path):
    labels = [("b", "S", "s1"), ("a", "S", "s2"), ("a", "S", "s1")]
    rows = [
        dict(ID=n, variant=v, setting="outdoor", source=s, sdr=1 / 3, pesq=NAN)
        for n, v, s in [*labels, ("a", "SE", "s1")]
    ]
    scorer_of(tmp_path).write(rows)
    assert (tmp_path / "test_scores.csv").read_text() == (
        "ID,variant,setting,source,sdr,pesq\n"
        "a,SE,outdoor,s1,0.333333,\n"
        "a,S,outdoor,s1,0.333333,\n"
        "a,S,outdoor,s2,0.333333,\n"
        "b,S,outdoor,s1,0.333333,\n"
    )
