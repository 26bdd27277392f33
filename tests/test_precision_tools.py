"""The benchmarks of half precision: what they find, and their statistics.

Authors
 * The PolSESS recipe team 2026
"""

import importlib
import re
import sys

import pandas as pd
import pytest
import torch
from recipe import ROOT
from scipy import stats

from speechbrain.lobes.models import conv_tasnet

sys.path.append(str(ROOT / "tools"))
bench = importlib.import_module("bench_precision")
bench_rows = importlib.import_module("bench_precision_rows")
bench_text = importlib.import_module("bench_precision_text")
cases = importlib.import_module("half_precision_cases")
half = importlib.import_module("half_precision")
half_text = importlib.import_module("half_precision_text")

SIZES = dict(N=16, B=8, H=16, P=3, X=2, R=1, C=1)


@pytest.fixture(scope="module")
def table():
    """All cases of a small network."""
    return half.measure(SIZES, *cases.recording(0.5), "cpu")


def case(table, precision, name, system):
    """The row of one case."""
    found = table[
        (table["precision"] == precision)
        & (table["input"] == name)
        & (table["system"] == system)
    ]
    assert len(found) == 1
    return found.iloc[0]


def test_every_case_is_measured(table):
    assert len(table) == 3 * 5 * 4
    assert table["output_finite"][table["precision"] != "fp16"].all()


@pytest.mark.parametrize("name", ["a quarter silent", "silent", "-60 dB"])
def test_stock_network_is_found_to_give_nan_and_where(table, name):
    row = case(table, "fp16", name, "stock")
    assert not row["output_finite"] and row["nan_share"] > 0
    assert row["first_nonfinite"] == "masknet.layer_norm"
    assert row["gradients_nonfinite_share"] > 0
    assert pd.isna(row["agreement_db"])
    assert "from `masknet.layer_norm`" in half_text.cell(row)


@pytest.mark.parametrize("system", ["safe norms", "recipe"])
@pytest.mark.parametrize("name", ["speech", "a quarter silent", "-60 dB"])
def test_cures_are_finite_and_agree_with_fp32(table, system, name):
    assert case(table, "fp32", name, system)["agreement_db"] > 100
    row = case(table, "fp16", name, system)
    assert row["output_finite"] and row["gradients_nonfinite_share"] == 0
    assert row["agreement_db"] > 40
    assert row["first_nonfinite"] == ""
    # The customary patch is finite too, but another network.
    patched = case(table, "fp32", name, "EPS 1e-4")
    assert patched["output_finite"] and patched["agreement_db"] < 40


def test_eps_is_restored_after_an_error():
    with pytest.raises(KeyError), cases.eps_of_speechbrain(1.0):
        assert conv_tasnet.EPS == 1.0
        raise KeyError
    assert conv_tasnet.EPS == 1e-8


def test_agreement_is_the_ratio_of_energies_in_db():
    expected = torch.ones(1, 100, 1)
    assert half.agreement_db(0.9 * expected, expected) == pytest.approx(20)
    assert pd.isna(half.agreement_db(expected, expected))
    assert pd.isna(half.agreement_db(expected * float("nan"), expected))


def test_text_says_what_failed_and_that_no_gpu_was_measured(table):
    text = half_text.to_markdown(table, "cpu", 0.5)
    assert "The GPU was not measured" in text
    assert "not finite in fp16 (a quarter silent, silent, -60 dB" in text
    assert text.count("\n| fp") == 10 and text.count("\n| bf16") == 5


def test_shares_are_not_rounded_to_none_or_all():
    assert half_text.share(1e-6) == "less than 1 %"
    assert half_text.share(0.9999) == "more than 99 %"
    assert half_text.share(1.0) == "100 %"


def test_interval_is_students():
    values = [0.01, -0.02, 0.05]
    mean, low, high = bench_text.student_interval(values)
    # t(0.975, 2) = 4.302653; the standard deviation is 0.0351188.
    assert mean == pytest.approx(0.0133333, abs=1e-6)
    assert high - mean == pytest.approx(4.302653 * 0.0351188 / 3**0.5, 1e-4)
    expected = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)


def test_one_seed_decides_nothing():
    _, low, high = bench_text.student_interval([0.0])
    assert pd.isna(low) and pd.isna(high)
    assert bench_text.verdict(low, high) == "undecided"


@pytest.mark.parametrize(
    "interval, expected",
    [
        ((-0.05, 0.05), "kept"),
        ((-0.06, 0.05), "undecided"),
        ((-0.01, 0.2), "undecided"),
        ((0.06, 0.2), "missed"),
        ((-0.2, -0.06), "missed"),
    ],
)
def test_verdict_is_that_of_the_whole_interval(interval, expected):
    assert bench_text.verdict(*interval) == expected


def complete_run(output, si_sdri):
    """Writes what a complete training leaves behind."""
    metas = [
        "end-of-epoch: false\n",
        f"si_sdri: {si_sdri}\nepoch: 1\n",
        f"si_sdri: {si_sdri - 1}\nepoch: 2\n",
    ]
    for number, meta in enumerate(metas):
        checkpoint = output / f"save/CKPT+{number}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "CKPT.yaml").write_text(meta, encoding="utf-8")
    (output / "train_log.txt").write_text(
        "epoch: 1 - train nonfinite_gradient_steps: 1, train "
        "items_per_second: 20.0\nepoch: 2 - train "
        "nonfinite_gradient_steps: 2, train items_per_second: 30.0\n"
    )
    (output / "record").mkdir()
    for number, commit in enumerate(("old", "new"), 1):
        start = output / f"record/start-{number:04}.json"
        start.write_text(f'{{"commit": "{commit}"}}', encoding="utf-8")
    (output / bench_rows.LAST_FILE).touch()


def test_complete_trainings_are_reused_and_compared(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(bench, "call", lambda c, folder: commands.append(c))
    sizes = {"n_train": 20, "n_val": 4, "n_test": 4, "epochs": 1}
    scores = {
        "fp32": (1, (1.0, 2.0)),
        "bf16": (1, (1.25, 2.75)),
        bench.CONTROL: (2, (1.5, 2.5)),
    }
    for precision, (threads, values) in scores.items():
        for seed, value in enumerate(values):
            name = f"{precision}_{seed}_threads_{threads}"
            complete_run(tmp_path / "precision_20_4_4_1" / name, value)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    table = bench.measure(tmp_path, sizes, (0, 1), list(scores), 2)
    assert len(commands) == 1  # only the corpus
    in_turn = ["fp32", "bf16", "bf16", "fp32"]
    assert list(table["precision"]) == in_turn + 2 * [bench.CONTROL]
    assert list(table["si_sdri"]) == [1.0, 1.25, 2.75, 2.0, 1.5, 2.5]
    assert set(table["best_epoch"]) == {1}
    assert set(table["nonfinite_steps"]) == {3}
    assert set(table["items_per_second"]) == {25.0}
    assert list(table["threads"]) == [1, 1, 1, 1, 2, 2]
    assert set(table["commit"]) == {"new"}
    text = bench_text.to_markdown(table, sizes, "cpu", "there", 2)
    chosen = "--seeds 0 1 --precisions fp32 bf16 fp32_control --at_once 2`"
    assert "bench_precision.py bench there --n_train 20" in text
    assert chosen in text and "trainings at commit new:" in text
    table = table[table["precision"] != bench.CONTROL]
    assert bench.CONTROL not in bench_text.to_markdown(
        table, sizes, "cpu", "there"
    )
    # (0.25 + 0.75) / 2 +- 12.7062 * 0.25
    assert "| bf16 | +0.500 | -2.677 to +3.677 | 2 | undecided | 1.00 |" in text
    assert "The GPU was not measured" in text


def test_trainings_differ_in_nothing_but_precision_and_seed(
    tmp_path, monkeypatch
):
    commands, environments = [], []

    def call(command, folder, **environment):
        commands.append(
            [word for word in command if "output_folder" not in str(word)]
        )
        environments.append(environment)

    monkeypatch.setattr(bench, "call", call)
    for precision in ("fp32", "bf16", bench.CONTROL):
        bench.train(tmp_path, tmp_path / precision, precision, 7, 2, 3)
    fp32, bf16, control = commands
    differing = {pair for pair in zip(fp32, bf16) if pair[0] != pair[1]}
    assert differing == {("--precision=fp32", "--precision=bf16")}
    assert "--seed=7" in fp32 and "--eval_precision=fp32" in fp32
    assert control == fp32
    assert environments == 3 * [{"OMP_NUM_THREADS": "3"}]


@pytest.mark.parametrize(
    "cores, at_once, threads, control",
    [(1, 1, 1, 2), (2, 1, 2, 1), (8, 1, 8, 4), (8, 2, 4, 2), (8, 8, 1, 2)],
)
def test_trainings_share_the_cores(
    cores, at_once, threads, control, monkeypatch
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    assert bench.threads_of("bf16", at_once) == threads
    assert bench.threads_of(bench.CONTROL, at_once) == control


@pytest.mark.parametrize(
    "options, message",
    [
        (["--precisions", "bf16"], "fp32 is what the others are compared"),
        (["--seeds", "1", "2", "1"], r"each once expected, \[1, 2, 1\] found"),
        (["--precisions", "fp32", "fp32"], "precisions: each once expected"),
        (["--precisions", "fp8"], "invalid choice: 'fp8'"),
        (["--at_once", "0"], r"\(threads\) expected, 0 found"),
        (["--at_once", "1000"], r"\(threads\) expected, 1000 found"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message, capsys):
    with pytest.raises(SystemExit):
        bench.options_of(["work", "out", *options])
    assert re.search(message, capsys.readouterr().err)
