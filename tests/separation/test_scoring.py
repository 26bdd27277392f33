"""Scoring: utterances, rows, processes that die, saved audio."""

import importlib
import logging
import multiprocessing
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scoring
import soundfile
import torch
from batches import batch, scorer_of, submit
from losses import best_permutation, pairwise_si_sdr
from metrics import METRICS, si_sdr
from scoring import DIED, Scorer, Utterance, utterances_of, validation_rows

# Metrics that a scoring process has to import.
MODULE = """
import os, sys
import metrics

def dies_of_ones(estimate, *job): return os._exit(3) if estimate[0] == 1 else 7
def loads_torch(*job): return "torch" in sys.modules or "speechbrain" in sys.modules
def threads(*job): return int(os.environ["OMP_NUM_THREADS"])
def process(*job): return os.getpid()

def score_signal(*job):
    metrics.METRICS.update(
        dies_of_ones=dies_of_ones, loads_torch=loads_torch, threads=threads,
        process=process, stoi=metrics.METRICS["stoi"],
    )
    return metrics.score_signal(*job)
"""


@pytest.fixture
def own_metrics(tmp_path, monkeypatch):
    """Lets scoring processes know the metrics of MODULE."""
    (tmp_path / "own_metrics.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_metrics", raising=False)
    importlib.invalidate_caches()
    module = importlib.import_module("own_metrics")
    for name in ("dies_of_ones", "loads_torch", "threads", "process"):
        monkeypatch.setitem(METRICS, name, getattr(module, name))
    monkeypatch.setattr(scoring, "score_signal", module.score_signal)


@pytest.fixture(autouse=True)
def no_process_stays():
    """Every test ends with the processes with which it began."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def test_rows_are_the_scores_of_the_functions_in_order(tmp_path):
    metrics = ["si_sdr", "sdr", "stoi"]
    scorer = scorer_of(tmp_path, metrics, sources=2, n_jobs=2)
    for number in range(40):
        submit(scorer, *batch(number, sources=2, samples=4000))
    rows = scorer.rows()
    keys = [(row["ID"], row["source"]) for row in rows]
    assert keys == [(f"id{n}", s) for n in range(40) for s in ("s1", "s2")]
    for number, row in enumerate(rows):
        made, estimate = batch(number // 2, sources=2, samples=4000)
        source = number % 2
        reference = made.sources_sig[0][0, :, source].numpy()
        columns = "si_sdr si_sdr_mix si_sdri sdr sdr_mix stoi stoi_mix"
        assert list(row)[4:] == columns.split()
        for name in metrics:
            for suffix, signal in (
                ("", estimate[0, :, source]),
                ("_mix", made.mix_sig[0][0]),
            ):
                expected = METRICS[name](signal.numpy(), reference, 8000)
                assert row[name + suffix] == expected
        assert row["si_sdri"] == row["si_sdr"] - row["si_sdr_mix"]


def test_without_slow_metrics_no_process_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "ProcessPoolExecutor", None)
    scorer = scorer_of(tmp_path)
    made, estimate = batch()
    submit(scorer, made, estimate)
    (row,) = scorer.rows()
    reference = made.sources_sig[0][0, :, 0].numpy()
    assert row["si_sdr"] == si_sdr(estimate[0, :, 0].numpy(), reference)


def test_queue_is_bounded(tmp_path):
    scorer = scorer_of(tmp_path)
    for number in range(40):
        submit(scorer, *batch(number))
        assert len(scorer.pending) <= 16
    expected = [f"id{number}" for number in range(40)]
    assert [row["ID"] for row in scorer.rows()] == expected


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


def test_nan_estimate_leaves_the_other_source_and_the_mixture(tmp_path, caplog):
    made, estimate = batch(sources=2)
    estimate[0, 5, 0] = np.nan
    scorer = scorer_of(tmp_path, ["sdr"], sources=2)
    with caplog.at_level(logging.WARNING):
        submit(scorer, made, estimate)
        first, second = scorer.rows()
    for name in ("si_sdr", "si_sdri", "sdr"):
        assert np.isnan(first[name]) and np.isfinite(second[name])
    assert np.isfinite([first["si_sdr_mix"], first["sdr_mix"]]).all()
    assert caplog.text.count("not finite") == 2
    assert "s1, si_sdr: " in caplog.text and "'id0'" in caplog.text


def test_a_process_that_dies_ended_the_test(own_metrics, tmp_path, caplog):
    metrics = ["dies_of_ones", "stoi", "sdr"]
    scorer = scorer_of(tmp_path, metrics, n_jobs=2)
    batches = [batch(0), batch(1, first=1), batch(2), batch(3, first=1)]
    with caplog.at_level(logging.WARNING):
        for made, estimate in batches:
            submit(scorer, made, estimate)
        rows = scorer.rows()
    assert [row["ID"] for row in rows] == ["id0", "id1", "id2", "id3"]
    for row, (made, estimate) in zip(rows, batches):
        died = row["ID"] in ("id1", "id3")
        assert np.isnan(row["dies_of_ones"]) == died
        assert died or row["dies_of_ones"] == 7
        assert row["dies_of_ones_mix"] == 7
        reference = made.sources_sig[0][0, :, 0].numpy()
        expected = METRICS["sdr"](estimate[0, :, 0].numpy(), reference)
        assert row["sdr"] == expected
    assert caplog.text.count(f"s1, dies_of_ones: {DIED}") == 2


def test_processes_have_one_thread_and_no_torch(own_metrics, tmp_path):
    scorer = scorer_of(tmp_path, ["loads_torch", "threads"])
    submit(scorer, *batch())
    (row,) = scorer.rows()
    assert row["loads_torch"] == 0 and row["threads"] == 1


def test_processes_end_with_the_rows_and_start_again(own_metrics, tmp_path):
    scorer = scorer_of(tmp_path, ["process"])
    found = []
    for number in range(2):
        submit(scorer, *batch(number))
        (row,) = scorer.rows()
        assert row["ID"] == f"id{number}"
        found.append(row["process"])
    assert found[0] != found[1] and scorer.rows() == []


def test_metrics_import_no_torch():
    command = "import metrics, sys; sys.exit('torch' in sys.modules)"
    folder = scoring.__file__.rpartition("/")[0]
    ran = subprocess.run([sys.executable, "-c", command], cwd=folder)
    assert ran.returncode == 0


def test_validation_rows_are_improvements_and_tell_silence():
    items = padded((500, 400))
    reference, lengths = items.sources_sig
    reference[1, :, 0] = 0
    si_sdr = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    rows = validation_rows(items, si_sdr)
    assert [row["ID"] for row in rows] == ["id0", "id0", "id1", "id1"]
    assert [row["silent"] for row in rows] == [False, False, True, False]
    mixture = items.mix_sig[0].unsqueeze(-1)
    baseline = pairwise_si_sdr(mixture, reference, lengths)[:, 0]
    found = torch.tensor([row["si_sdri"] for row in rows])
    expected = (si_sdr - baseline).flatten()
    assert torch.equal(found[[0, 1, 3]], expected[[0, 1, 3]])
    assert found[2].isnan()


def utterance(estimate, reference):
    """An utterance of these signals, each [time, source]."""
    sources = [f"s{number + 1}" for number in range(reference.shape[1])]
    return Utterance({}, sources, estimate, reference, reference.sum(-1))


def cut(items, estimate, sources):
    """Utterances by the best permutation."""
    reference, lengths = items.sources_sig
    pairs = pairwise_si_sdr(estimate, reference, lengths)
    return utterances_of(items, estimate, best_permutation(pairs)[1], sources)


def padded(lengths, sources=2, seed=0):
    """Noise, padded with what must not be looked at: [batch, time, source]."""
    generator = torch.Generator().manual_seed(seed)
    time = max(lengths)
    reference = torch.randn(len(lengths), time, sources, generator=generator)
    mixture = reference.sum(-1) + 0.1
    for item, length in enumerate(lengths):
        reference[item, length:] = 0
        mixture[item, length:] = 0
    relative = torch.tensor(lengths) / time
    return SimpleNamespace(
        mix_sig=(mixture, relative),
        sources_sig=(reference, relative),
        mixture_id=[f"id{item}" for item in range(len(lengths))],
        variant=["SER", "R", "C"][: len(lengths)],
        setting=["indoor"] * len(lengths),
    )


@pytest.mark.parametrize("gain", [-7, -1, 1e-4, 1, 1000, 1e15, 1e-25])
def test_scaled_is_the_closest_multiple_at_any_scale_and_sign(gain):
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((4000, 2))
    noisy = reference + 0.3 * generator.standard_normal((4000, 2))
    estimate = (gain * noisy).astype("float32")
    scaled = utterance(estimate, reference.astype("float32"))._scaled()
    assert scaled.dtype == np.float32
    for source in range(2):
        factor, *_ = np.linalg.lstsq(
            noisy[:, source : source + 1], reference[:, source], rcond=None
        )
        expected = factor * noisy[:, source]
        assert np.allclose(scaled[:, source], expected, atol=1e-5)
        # The error is orthogonal to the estimate.
        error = scaled[:, source] - reference[:, source]
        assert abs(error @ scaled[:, source]) < 1e-2


def test_scaled_modifies_nothing():
    reference = np.ones((10, 1))
    estimate = 3 * reference
    utterance(estimate, reference)._scaled()
    assert (estimate == 3).all() and (reference == 1).all()


@pytest.mark.parametrize("value", [0, np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("error")
def test_silent_or_broken_estimate_leaves_the_other(value):
    reference = np.random.default_rng(0).standard_normal((100, 2))
    estimate = -2 * reference
    if value == 0:
        estimate[:, 0] = 0
    else:
        estimate[50, 0] = value
    broken = utterance(estimate, reference)
    assert np.array_equal(
        broken._scaled()[:, 0], estimate[:, 0], equal_nan=True
    )
    assert np.allclose(broken._scaled()[:, 1], reference[:, 1])
    heard = broken.signals()
    assert list(heard) == [
        "mixture",
        "estimate s1",
        "estimate s2",
        "reference s1",
        "reference s2",
    ]
    for signal in heard.values():
        assert signal.shape == (100,)
        assert np.isfinite(signal).all()
    assert heard["estimate s1"][50] == 0
    assert np.array_equal(heard["reference s2"], reference[:, 1])
    assert np.array_equal(heard["mixture"], reference.sum(-1))


@pytest.mark.parametrize("lengths", [(1000,), (1000, 701, 333), (7, 16000, 3)])
def test_padding_is_cut_exactly(lengths):
    items = padded(lengths)
    reference = items.sources_sig[0]
    estimate = 0.5 * reference + 0.1
    found = cut(items, estimate, ["s1", "s2"])
    assert len(found) == len(lengths)
    for item, (one, length) in enumerate(zip(found, lengths)):
        assert one.labels == {
            "ID": f"id{item}",
            "variant": ["SER", "R", "C"][item],
            "setting": "indoor",
        }
        assert one.sources == ["s1", "s2"]
        for signal, whole in (
            (one.estimate, estimate),
            (one.reference, reference),
            (one.mixture, items.mix_sig[0]),
        ):
            assert signal.dtype == np.float32
            assert np.array_equal(signal, whole[item, :length].numpy())


def test_estimates_are_in_the_order_of_the_references():
    items = padded((500, 400, 300), sources=3)
    reference = items.sources_sig[0]
    orders = torch.tensor([[2, 0, 1], [0, 1, 2], [1, 0, 2]])
    estimate = torch.stack(
        [-4 * reference[item][:, orders[item]] for item in range(3)]
    )
    # What comes after the end of a mixture decides nothing.
    estimate[1, 400:] = 50
    for one in cut(items, estimate, ["s1", "s2", "s3"]):
        assert np.array_equal(one.estimate, -4 * one.reference)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_one_broken_estimate_leaves_the_order_of_the_others(
    value, order, broken
):
    items = padded((500,), sources=3)
    reference = items.sources_sig[0]
    estimate = 2 * reference[..., list(order)]
    estimate[0, 5, list(order).index(broken)] = value
    (one,) = cut(items, estimate, ["s1", "s2", "s3"])
    for source in range(3):
        if source == broken:
            assert not np.isfinite(one.estimate[:, source]).all()
        else:
            expected = 2 * one.reference[:, source]
            assert np.array_equal(one.estimate[:, source], expected)


def test_half_precision_estimates_become_float32():
    items = padded((100,))
    estimate = items.sources_sig[0].bfloat16()
    (one,) = cut(items, estimate, ["s1", "s2"])
    assert np.array_equal(one.estimate, estimate[0].float().numpy())


def saved(folder, number=0, gain=-3.0, broken=False):
    """Name -> samples of the audio of a batch with a gain."""
    made, estimate = batch(number, sources=2, save_audio=True)
    estimate = gain * estimate
    if broken:
        estimate[..., 0] = np.nan
    scorer = scorer_of(folder, sources=2)
    submit(scorer, made, estimate)
    files = {p.name: soundfile.read(p) for p in (folder / "audio").iterdir()}
    return made, files


def test_files_hold_the_signals_bit_for_bit(tmp_path):
    made, files = saved(tmp_path / "deep")
    assert set(files) == {
        f"id0_S_{name}.wav"
        for name in (
            "mixture estimate_s1 estimate_s2 reference_s1 reference_s2"
        ).split()
    }
    for path in (tmp_path / "deep/audio").iterdir():
        info = soundfile.info(path)
        assert (info.format, info.subtype) == ("WAV", "FLOAT")
        assert info.samplerate == 8000
    samples, _ = files["id0_S_mixture.wav"]
    assert np.array_equal(samples, made.mix_sig[0][0].numpy())
    assert np.abs(samples).max() > 2  # nothing is clipped
    for source in (0, 1):
        samples, _ = files[f"id0_S_reference_s{source + 1}.wav"]
        assert np.array_equal(samples, made.sources_sig[0][0, :, source])


@pytest.mark.parametrize("gain", [-3.0, 1e-6, 1e6])
def test_saved_estimates_are_closest_to_their_references(tmp_path, gain):
    _, files = saved(tmp_path, gain=gain)
    for source in ("s1", "s2"):
        estimate, _ = files[f"id0_S_estimate_{source}.wav"]
        reference, _ = files[f"id0_S_reference_{source}.wav"]
        errors = [
            np.sum((factor * estimate - reference) ** 2)
            for factor in (1, 0.999, 1.001)
        ]
        assert errors[0] == min(errors) < 0.05 * np.sum(reference**2)


def test_broken_estimate_is_saved_as_silence_where_it_is_broken(tmp_path):
    _, files = saved(tmp_path, broken=True)
    assert not files["id0_S_estimate_s1.wav"][0].any()
    assert files["id0_S_estimate_s2.wav"][0].any()


def test_nothing_is_saved_unless_asked_for(tmp_path):
    scorer = scorer_of(tmp_path)
    submit(scorer, *batch())
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_earlier_model_stayed(tmp_path):
    saved(tmp_path)
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
        saved(tmp_path)
    assert str(folder) in str(error.value)


def test_scores_file_is_sorted_rounded_and_complete(tmp_path):
    scorer = scorer_of(tmp_path)
    labels = {"variant": "S", "setting": "outdoor", "source": "s1"}
    scores = {"si_sdr": 1 / 3, "si_sdr_mix": np.nan, "si_sdri": np.nan}
    other = {**labels, "variant": "SE"}
    scorer.write(
        [{"ID": "b", **labels, **scores}, {"ID": "a", **labels, **scores}]
        + [{"ID": "a", **other, **scores}]
    )
    assert (tmp_path / "test_scores.csv").read_text() == (
        "ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri\n"
        "a,SE,outdoor,s1,0.333333,,\n"
        "a,S,outdoor,s1,0.333333,,\n"
        "b,S,outdoor,s1,0.333333,,\n"
    )
