"""The benchmarks: what they compute, and by night what they write."""

import doctest
import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from hyperpyyaml import load_hyperpyyaml
from inference.trained import checkpoint_folder
from made_runs import make_run
from metrics import METRICS
from recipe import ROOT, SAMPLES, hparams_of
from separator import Separator

sys.path.append(str(ROOT / "benchmarks"))
SMALL = {"N": 8, "B": 8, "H": 8, "X": 2, "R": 1}


def load(name):
    """A benchmark; two have the name of a module of the recipe."""
    path = ROOT / f"benchmarks/{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def noise(*shape):
    """The same noise each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_ratios_are_within_a_round_and_docstrings_are_true():
    common = load("common")
    assert doctest.testmod(common) == (0, 5)
    rows = [
        {"round": number, "way": way, "s": seconds}
        for number, way, seconds in [
            *((0, "a", 2.0), (0, "b", 1.0), (1, "a", 4.0), (1, "b", 1.0)),
            *((1, "c", None), (2, "b", 4.0)),  # round 2 has no base
        ]
    ]
    common.add_ratios(rows, "s", ["round"], way="a")
    ratios = [row["times s"] for row in rows]
    assert ratios == [1.0, 0.5, 1.0, 0.25, None, None]
    table = common.spread_table(rows, ["way"], s=1).splitlines()[2:]
    spreads = ["| a | 3.0 (2.0 to 4.0) |", "| b | 1.0 (1.0 to 4.0) |"]
    assert table == [*spreads, "| c |  |"]


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


def test_busy_processes_end_with_their_block():
    with pytest.raises(KeyError), load("threads").busy_processes(1) as loops:
        assert loops[0].poll() is None
        raise KeyError
    assert loops[0].poll() is not None


@pytest.mark.parametrize("workers, epochs", [(-1, 1), (0, 2)])
def test_pipeline_reads_each_mixture_once_an_epoch(workers, epochs):
    class Mixtures(list):
        def __getitem__(self, number):
            read.append(number)
            return {"id": str(number)}

    read, order = [], [3, 1, 0, 2, 4]
    assert load("pipeline").epoch_seconds(Mixtures(order), order, workers) > 0
    assert read == epochs * order


def test_streams_are_the_pass_over_the_whole_signal():
    streaming = load("streaming")
    causal = {"norm_type": "cLN", "causal": True, **SMALL}
    separator = streaming.load_hparams(**causal)["separator"].eval()
    parts = [streaming.separate(separator, noise(2000), x) for x in (0, 300)]
    (whole, _), (stream, seconds) = parts
    assert len(seconds) == 7 and torch.allclose(whole, stream, atol=1e-6)


def test_loop_with_torchmetrics_has_the_scores_of_the_recipe():
    scoring, signals = load("scoring"), noise(1, 8000, 4)
    sources, estimates = signals[..., :2], signals[..., :2] + signals[..., 2:]
    batch = SimpleNamespace(
        sources_sig=SimpleNamespace(data=sources),
        mix_sig=SimpleNamespace(data=sources.sum(-1)),
    )
    expected = [
        [METRICS[name](*pair, 8000) for name in scoring.METRICS]
        for source in (0, 1)
        for signal in (estimates[..., source], batch.mix_sig.data)
        for pair in [(signal[0].numpy(), sources[0, :, source].numpy())]
    ]
    found = scoring.run_loop([(batch, estimates)])
    assert found == pytest.approx(np.array(expected), abs=1e-3)


def test_networks_are_the_same_function_and_steps_change_them():
    network, sources = load("network"), noise(2, 800, 2)
    stock, fast = (
        network.make_separator(name, "SB", SMALL) for name in network.NETWORKS
    )
    assert type(stock.masknet) is not type(fast.masknet)
    fast.load_state_dict(stock.state_dict())
    expected = stock(sources.sum(-1))
    step, forward = network.make_calls(fast, sources.sum(-1), sources, "fp32")
    for call, is_same in ((forward, True), (step, False)):
        call()
        found = fast(sources.sum(-1))
        assert torch.allclose(found, expected, atol=1e-5) == is_same


def test_macs_are_those_of_the_layers():
    sizes = load("sizes")

    class Layers(torch.nn.Module):
        """A convolution, an LSTM and a linear layer, on [batch, time]."""

        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv1d(1, 3, 4, stride=2)
            self.lstm = torch.nn.LSTM(3, 5, 2, bidirectional=True)
            self.linear = torch.nn.Linear(10, 1)

        def forward(self, mixture):
            """Returns [frame, batch, 1]."""
            y = self.conv(mixture[:, None]).permute(2, 0, 1)
            return self.linear(self.lstm(y)[0])

    frames = (100 - 4) // 2 + 1
    lstm = 2 * 4 * 5 * (3 + 5) + 2 * 4 * 5 * (10 + 5)
    expected = frames * (3 * 4 + lstm + 10)
    assert sizes.count_macs(Layers(), 100) == expected


def test_kept_bytes_are_those_of_live_tensors():
    sizes = load("sizes")

    class Chain(torch.nn.Module):
        """Keeps two results for its gradient, and the loss."""

        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

        def forward(self, mixture):
            """Its sigmoid and the square keep a result each."""
            return (self.gain * mixture).sigmoid()

    # The mixture is older; product (freed), sigmoid, square (freed), sum.
    assert sizes.kept_bytes(Chain(), 1000) == 4000 + 4
    with sizes.LiveTensors() as tensors:
        kept = torch.zeros(10)
        torch.zeros(100)
    assert tensors.live == kept.nbytes and tensors.peak == 440


def test_longest_signal_is_where_the_parabola_meets_the_limit():
    sizes = load("sizes")

    class Square(torch.nn.Module):
        """Makes 1 MiB times the square of the seconds, of 64 samples each."""

        def forward(self, mixture):
            """Returns many copies."""
            seconds = mixture.shape[-1] // 64
            return mixture.repeat(seconds * 2**12, 1)

    found = sizes.longest_seconds(Square(), 64)
    assert found == pytest.approx(2**5.5, rel=1e-3)


@pytest.mark.nightly
def test_networks_of_the_leaderboard_have_the_demo_s_compute():
    leaderboard = load("leaderboard")
    flags = leaderboard.demo_sizes()
    macs = {
        network.name: leaderboard.count_macs(
            leaderboard.load_hparams(network.hparams, flags[network.name])[
                "separator"
            ].eval(),
            32000,
        )
        for network in leaderboard.NETWORKS
    }
    ratios = {name: n / macs[leaderboard.BASE] for name, n in macs.items()}
    assert all(1 / 1.2 <= ratio <= 1.2 for ratio in ratios.values()), ratios
    demo = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert flags[leaderboard.BASE] in " ".join(demo.split())


def scores_of(folder, *gains):
    """A run's folder with a test of some mixtures, each with a gain in dB."""
    folder.mkdir(parents=True)
    rows = [
        f"{ID},SE,outdoor,s1,{1 + gain},1.0,{gain}"
        for ID, gain in zip("abc", gains)
    ]
    head = "ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri"
    (folder / "test_scores.csv").write_text("\n".join([head, *rows]))
    return folder


def test_the_leaderboard_pairs_rows_and_averages_seeds(tmp_path):
    leaderboard = load("leaderboard")
    seeds = [(1, 2, 3), (3, 4, 5), (5, 6, 7)]
    first, second, third = (
        scores_of(tmp_path / str(seed), *gains)
        for seed, gains in enumerate(seeds)
    )
    for folder in (first, second, third):
        (folder / "train_log.txt").write_text("epoch: 1, x\nepoch: 2, x\n")
    folders = {"Conv-TasNet": [first, second], "DPRNN": [third]}
    first, second = leaderboard.rows_of("ES", folders)
    assert (first["network"], second["network"]) == ("DPRNN", "Conv-TasNet")
    assert second["si_sdri"] == pytest.approx(3)
    assert second["lowest_seed"] == pytest.approx(2) and second["seeds"] == 2
    # The difference is 3 dB in each row, whatever the rows' own spread.
    for key in ("difference", "difference_low", "difference_high"):
        assert first[key] == pytest.approx(3) and second[key] == 0
    assert first["ci_low"] < 6 < first["ci_high"] and first["epochs"] == 2


def test_arms_are_compared_seed_by_seed(tmp_path):
    training = load("training")
    assert doctest.testmod(training) == (0, 1)
    with pytest.raises(ValueError, match="whole epochs of 250 steps, found 9"):
        training.epochs_for(9, 1000)
    runs = {
        name: {
            seed: scores_of(tmp_path / name / str(seed), *gains)
            for seed, gains in enumerate(of_name)
        }
        for name, of_name in {
            "baseline": [(1, 2, 3), (3, 4, 5)],
            "speed": [(2, 3, 4), (6, 7, 8), (9, 9, 9)],
        }.items()
    }
    row = training.row_of("speed", runs["speed"], runs["baseline"], "ES")
    # The third seed has no baseline.
    assert row["seeds"] == 2 and row["differences"] == "+1.00 +3.00"
    assert row["difference"] == pytest.approx(2)
    assert row["difference_low"] == pytest.approx(2)
    assert row["si_sdri"] == pytest.approx(5)


def test_the_original_s_way_has_its_classes_and_its_constant(
    monkeypatch, tmp_path
):
    original = load("original")
    monkeypatch.setattr(original.stock, "EPS", 1e-8)
    words = ["--lr=0.1", f"--output_folder={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["original.py", *words])
    seen = {}

    def run(script, run_name):
        flags = [word.partition("=") for word in sys.argv[2:]]
        given = {key[2:]: yaml.safe_load(text) for key, _, text in flags}
        assert len(given) == len(flags)
        with open(sys.argv[1], encoding="utf-8") as file:
            seen.update(load_hyperpyyaml(file, given))
        # A quiet signal is damped: its variance is below EPS.
        norm = original.stock.GlobalLayerNorm(1)
        signal = torch.tensor([0.005, -0.005]).reshape(1, 2, 1)
        seen["normed"] = norm(signal).abs().max().item()

    monkeypatch.setattr(original.runpy, "run_path", run)
    original.main()
    assert type(seen["masknet"]) is original.stock.MaskNet
    parameters = seen["separator"].parameters()
    assert sum(p.numel() for p in parameters) == 232_216
    assert seen["opt_class"].func is torch.optim.Adam
    assert seen["lr"] == 0.1 and seen["segment_seconds"] == 4.0
    assert "C" in seen["train_mixer"].stages[0]
    expected = 0.005 / (0.005**2 + 1e-4) ** 0.5
    assert seen["normed"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.nightly
def test_the_original_s_way_trains_and_tests_with_its_constant(
    monkeypatch, tmp_path
):
    """Each constant computes the saved estimate again."""
    run = tmp_path / "run"
    words = (
        "--X=2 --R=1 --number_of_epochs=10 --batch_size=1 --n_test=1 "
        "--n_valid=1 --save_audio=all --metrics=[si_sdr] --num_workers=0 "
        "--noprogressbar"
    )
    command = [sys.executable, ROOT / "benchmarks/original.py", *words.split()]
    command += [f"--data_folder={SAMPLES}", f"--output_folder={run}"]
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path)
    original = load("original")
    hparams = hparams_of(N=128, kernel_size=32, stride=16)
    stock = original.stock.MaskNet(128, 64, 128, 3, 2, 1, 1)
    parts = {"encoder": hparams["encoder"], "decoder": hparams["decoder"]}
    separator = Separator(masknet=stock, **parts).eval()
    for name, part in (*parts.items(), ("masknet", stock)):
        part.load_state_dict(
            torch.load(checkpoint_folder(run) / f"{name}.ckpt")
        )
    path = str(next(run.glob("audio/*_mixture.wav")))
    mixture, saved = (
        torch.from_numpy(soundfile.read(x, dtype="float32")[0])
        for x in (path, path.replace("_mixture.", "_estimate_s1."))
    )
    errors = []
    for eps in (1e-4, 1e-8):
        monkeypatch.setattr(original.stock, "EPS", eps)
        with torch.no_grad():
            found = separator(mixture[None])[0, :, 0]
        # It was saved at the level of the reference.
        errors.append(1 - torch.cosine_similarity(found, saved, 0).item())
    assert abs(errors[0]) < 1e-6 and errors[1] > 1e-4


def test_recordings_lose_where_the_order_of_sources_changes():
    """The first of three pieces is the other way round."""
    recordings, references = load("long_recordings"), noise(3, 800, 2)
    noisy = references + 0.01 * references.flip(-1)
    estimates = torch.cat([noisy[:1].flip(-1), noisy[1:]]).reshape(-1, 2)
    found = recordings.measure_quality(
        lambda signal: estimates[: len(signal)].numpy(),
        references.sum(-1),
        references,
    )
    assert found["recording_oracle_db"] == pytest.approx(40, abs=2)
    assert found["recording_db"] == pytest.approx((80 - 40) / 3, abs=2)
    table = pd.DataFrame({"speaker": list("dbcaae"), "role": "speech"})
    table["subset"] = ["test"] * 5 + ["train"]
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
        ("sizes", "OUT --names DPRNN --seconds 0.2"),
        (
            "leaderboard",
            "IN/corpus IN/work OUT --minutes 0.4 --names Conv-TasNet DPRNN "
            "--tasks ES --seeds 1",
        ),
        (
            "training",
            "IN/corpus IN/work OUT --arms baseline mean_of_5 --seeds 1 "
            "--n_train 1 --steps 1 -- --X=1 --R=1 --segment_seconds=1",
        ),
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
    if "IN/corpus" in words:
        load("common").make_corpus(tmp_path / "corpus", n_test=8)
    output = tmp_path / name
    words = words.replace("OUT", str(output)).replace("IN", str(tmp_path))
    words = [json.dumps(SMALL) if w == "SMALL" else w for w in words.split()]
    command = [sys.executable, ROOT / f"benchmarks/{name}.py", *words]
    subprocess.run(command, check=True, timeout=600)
    numbers = pd.read_csv(output / f"{name}.csv").select_dtypes("number")
    assert numbers.size and numbers.notna().all(None)
    text = (output / "README.md").read_text(encoding="utf-8")
    assert f"benchmarks/{name}.py" in text and "at commit" in text
