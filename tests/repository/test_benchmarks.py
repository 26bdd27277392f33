"""The benchmarks: what they compute, and what they write at a tiny size."""

import doctest
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from made_runs import make_run
from metrics import METRICS
from recipe import ROOT, SAMPLES
from server import TINY

sys.path.append(str(ROOT / "benchmarks"))
SMALL = {"N": 8, "B": 8, "H": 8, "X": 2, "R": 1}


def load(name):
    """A benchmark; two have the name of a module of the recipe."""
    path = ROOT / f"benchmarks/{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Runs a benchmark on the sample corpus; returns its rows and its README."""

    def run(name, *words, **replaced):
        module, results = load(name), tmp_path / "results"
        if hasattr(module, "make_corpus"):
            replaced["make_corpus"] = copy_corpus
            words = (tmp_path, *words)
        for what, substitute in replaced.items():
            monkeypatch.setattr(module, what, substitute)
        words = [str(word) for word in words]
        place = bool("make_corpus" in replaced)
        words.insert(place, str(results))
        monkeypatch.setattr(sys, "argv", [str(ROOT / f"{name}.py"), *words])
        module.main()
        text = (results / "README.md").read_text(encoding="utf-8")
        return pd.read_csv(results / "results.csv"), text

    return run


def copy_corpus(folder, **options):
    """Stands for the simulation."""
    shutil.copytree(SAMPLES, folder)


def test_examples_of_the_docstrings_are_true():
    assert doctest.testmod(load("common")).attempted >= 5
    assert doctest.testmod(load("common")).failed == 0


def test_ratios_are_within_a_round():
    measured = ["0 a 2", "0 b 1", "1 a 4", "1 b 1", "1 c", "2 b 1"]
    rows = []
    for line in measured:
        number, way, *seconds = line.split()
        seconds = float(seconds[0]) if seconds else None
        rows.append({"round": number, "way": way, "s": seconds})
    load("common").add_ratios(rows, "s", ["round"], way="a")
    ratios = [row["times s"] for row in rows]
    assert ratios == [1.0, 0.5, 1.0, 0.25, None, None]
    assert load("common").spread_table(rows, ["way"], s=1).splitlines() == [
        "| way | s |",
        "| --- | --- |",
        "| a | 3.0 (2.0 to 4.0) |",
        "| b | 1.0 (1.0 to 1.0) |",
        "| c |  |",
    ]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ([0.01, 0.02, 0.015], "yes"),
        ([0.9, 1.0, 1.1], "no"),
        ([-1.0, -0.9, -1.1], "no"),
        ([-0.5, 0.5, 0.0], "undecided"),
    ],
)
def test_precision_is_judged_by_the_whole_interval(changes, expected):
    rows = []
    for seed, change in enumerate(changes):
        row = {"seed": seed, "si_sdri": 5.0, "times speed": 1.0}
        rows.append({**row, "precision": "fp32"})
        rows.append({**row, "precision": "bf16", "si_sdri": 5.0 + change})
    (found,) = load("precision").differences(rows)
    assert found["precision"] == "bf16"
    assert found["within 0.05 dB"] == expected


def test_precisions_are_compared_by_their_best_epochs(measured):
    trained = []

    def train(output, arguments, threads):
        """Stands for two epochs, of which bf16 has the better first one."""
        given = dict(word[2:].split("=") for word in arguments)
        is_half = given["precision"] == "bf16"
        for epoch, si_sdri in enumerate((5 + 0.01 * is_half, 4)):
            checkpoint = output / f"save/CKPT+{epoch}"
            checkpoint.mkdir(parents=True)
            (checkpoint / "CKPT.yaml").write_text(f"si_sdri: {si_sdri}")
        trained.append((output.name, given["lr"], threads))
        return [{}, {"train items_per_second": 4 + 2 * is_half}]

    rows, text = measured(
        *("precision", "--seeds", "0", "1", "--", "--lr=1"),
        train=train,
        load_hparams=lambda: load("common").load_hparams(**SMALL),
    )
    one = torch.get_num_threads()
    other = max(1, one // 2) if one > 1 else 2
    cases = (("fp32", one), ("bf16", one), ("fp32_control", other))
    assert trained == [
        (f"{name}_{seed}_3", "1", threads)
        for seed in (0, 1)
        for name, threads in cases
    ]
    assert rows["si_sdri"].tolist() == [5, 5.01, 5] * 2
    assert "| bf16 | +0.010 | +0.010 to +0.010 | yes | 1.50 |" in text
    decibels = [float(x) for x in re.findall(r"bf16 \| (\S+) \|\n", text)]
    assert len(decibels) == 3 and 15 < min(decibels) <= max(decibels) < 60


def test_training_is_slower_beside_a_busy_process(measured):
    threads, speeds = load("threads"), iter([4.0, 1.0] * 2)
    rows, text = measured(
        *("threads", "--rounds", "1"),
        train=lambda *_: [{}, {"train items_per_second": next(speeds)}],
    )
    assert rows["threads"].tolist() == [1, 1, 2, 2]
    assert rows["times mixtures_per_second"].tolist() == [1, 0.25] * 2
    assert "| 1 | 1 | 1 | 1.0 (1.0 to 1.0) | 0.25" in text
    with pytest.raises(KeyError), threads.busy_processes(1) as loops:
        assert loops[0].poll() is None
        raise KeyError
    assert loops[0].poll() is not None


def test_pipeline_is_measured_with_and_without_a_loader():
    """Each mixture is read once; a loader has read all before."""
    read = []

    class Mixtures(list):
        def __getitem__(self, number):
            read.append(number)
            return {"id": str(number)}

    mixtures = Mixtures(range(5))
    for workers, expected in ((-1, [3, 1, 0, 2, 4]), (0, [3, 1, 0, 2, 4] * 2)):
        read.clear()
        epoch_seconds = load("pipeline").epoch_seconds
        assert epoch_seconds(mixtures, [3, 1, 0, 2, 4], workers) > 0
        assert read == expected


@pytest.mark.nightly
def test_trainings_are_read_from_their_logs(tmp_path):
    """The seconds and the scores of each epoch."""
    words = [*TINY, f"--data_folder={SAMPLES}"]
    epochs = load("common").train(tmp_path / "run", words, 1)
    assert len(epochs) == 2
    for name in ("train items_per_second", "train loss", "valid SI-SDRi"):
        assert all(isinstance(epoch[name], float) for epoch in epochs)
    with pytest.raises(RuntimeError, match="--task=XY"):
        load("common").train(tmp_path / "run", [*words, "--task=XY"], 1)


@pytest.mark.nightly
def test_pipeline_reads_the_mixtures_of_both_tasks(measured):
    words = ("pipeline", "--workers", "-1", "1", "--rounds", "1")
    rows, text = measured(*words)
    cases = rows[["task", "workers"]].to_numpy().tolist()
    assert cases == [["ES", -1], ["ES", 1], ["SB", -1], ["SB", 1]]
    assert (rows["mixtures_per_second"] > 0).all()


def test_streams_are_the_pass_over_the_whole_signal(measured):
    words = ("--sizes", "small", "--blocks_ms", "32", "--rounds", "1")
    rows, _ = measured("streaming", *words, "--seconds", "0.1")
    assert rows["block_ms"].tolist() == [0, 32]
    assert rows["error"].max() < 1e-5 and (rows["ms_per_block"] > 0).all()


def test_loop_with_torchmetrics_has_the_scores_of_the_recipe():
    scoring, noise = load("scoring"), torch.randn(1, 8000, 4)
    signals, estimates = noise[..., :2], noise[..., :2] + noise[..., 2:] / 4
    mixture = signals.sum(-1)
    batch = SimpleNamespace(
        sources_sig=SimpleNamespace(data=signals),
        mix_sig=SimpleNamespace(data=mixture),
    )
    pairs = [
        (signal[0].numpy(), signals[0, :, source].numpy())
        for source in (0, 1)
        for signal in (estimates[..., source], mixture)
    ]
    expected = [
        [METRICS[name](*pair, 8000) for name in scoring.METRICS]
        for pair in pairs
    ]
    found = scoring.run_loop([(batch, estimates)])
    assert found == pytest.approx(np.array(expected), abs=1e-3)


def test_networks_are_the_same_function():
    network = load("network")
    stock, fast = (
        network.make_separator(name, "SB", SMALL) for name in network.NETWORKS
    )
    assert type(stock.masknet) is not type(fast.masknet)
    fast.load_state_dict(stock.state_dict())
    noise = torch.randn(2, 800, 2, generator=torch.manual_seed(0))
    expected = stock(noise.sum(-1))
    assert torch.allclose(fast(noise.sum(-1)), expected, atol=1e-5)
    calls = network.make_calls(fast, noise.sum(-1), noise, "fp32")
    for call, changes in zip(calls[::-1], (False, True)):
        call()
        now = fast(noise.sum(-1))
        assert torch.allclose(now, expected, atol=1e-5) != changes
    assert network.peak_gib() > 0.05


def test_recordings_lose_where_the_order_of_sources_changes():
    """The first of three pieces is the other way round."""
    recordings = load("long_recordings")
    references = torch.randn(3, 800, 2, generator=torch.manual_seed(0))
    references -= references.mean(1, keepdim=True)
    noisy = references + 0.01 * references.flip(-1)
    estimates = torch.cat([noisy[:1].flip(-1), noisy[1:]])

    def separation(signal):
        return estimates.reshape(-1, 2)[: len(signal)].numpy()

    found = recordings.measure_quality(
        separation, references.sum(-1), references
    )
    assert found["recording_oracle_db"] == pytest.approx(40, abs=2)
    assert found["recording_db"] < 20
    speech = {"role": "speech", "subset": "test"}
    table = pd.DataFrame([{**speech, "speaker": name} for name in "dbcaa"])
    table.loc[5] = {"role": "speech", "subset": "train", "speaker": "e"}
    pairs = recordings.speaker_pairs(table, 3)
    assert pairs == [("a", "c"), ("b", "d"), ("a", "b")]


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name, words",
    [
        (
            "network",
            "OUT --batches 1 --tasks SB --precisions fp32 --rounds 1 "
            "--seconds 0.3 --run_seconds 0.01 --sizes SMALL",
        ),
        ("scoring", "IN OUT --mixtures 1 --rounds 1"),
        (
            "long_recordings",
            "IN/run IN/corpus IN OUT --recordings 1 --pieces 8 --rounds 1 "
            "--hours 0.01",
        ),
    ],
)
def test_commands_measure_and_write(tmp_path, name, words):
    if name == "long_recordings":
        make_run(tmp_path / "run", "SB")
        load("common").make_corpus(tmp_path / "corpus")
    output = tmp_path / name
    words = words.replace("OUT", str(output)).replace("IN", str(tmp_path))
    words = [json.dumps(SMALL) if w == "SMALL" else w for w in words.split()]
    done = subprocess.run(
        [sys.executable, ROOT / f"benchmarks/{name}.py", *words],
        stderr=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = pd.read_csv(output / f"{name}.csv")
    numbers = rows.select_dtypes("number")
    assert len(rows) and numbers.shape[1] and numbers.notna().all(None)
    text = (output / "README.md").read_text(encoding="utf-8")
    assert f"benchmarks/{name}.py" in text and "at commit" in text
