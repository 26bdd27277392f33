"""The benchmark: its command, its count of operations, what it leaves out."""

import json
import math
import subprocess
import sys

import pytest
import torch
from benchmark import SYSTEMS, parse_arguments
from benchmark_machine import GIB
from benchmark_memory import extrapolated_batch, largest_batch
from benchmark_networks import make_network
from benchmark_rounds import why_not
from benchmark_systems import System, make_batch
from benchmark_tables import timing_table
from benchmark_work import Size, count_bytes, count_flop
from losses import si_sdr_loss
from recipe import SEPARATION
from torch.utils.flop_counter import FlopCounterMode

TINY = "--N=8 --B=8 --H=8 --X=2 --R=1 --seconds=0.2 --device=cpu".split()
SIZE = Size(N=8, B=6, H=10, X=2, R=2)


def run(folder, *options):
    """Runs the command; returns README.md and benchmark.json."""
    command = [
        sys.executable,
        SEPARATION / "benchmark.py",
        f"--output_folder={folder}",
        *TINY,
        *options,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return (
        (folder / "README.md").read_text(encoding="utf-8"),
        json.loads((folder / "benchmark.json").read_text(encoding="utf-8")),
    )


@pytest.mark.slow
def test_command_times_every_system(tmp_path):
    options = "--tasks SB --batch_sizes 1 --rounds 2 --skip_compile".split()
    readme, result = run(tmp_path / "out", *options)
    systems = [n for n in SYSTEMS["cpu"] if not n.endswith("compiled")]
    (case,) = result["cases"]
    assert list(case["systems"]) == systems == list(result["memory"]["SB"])
    for name, found in case["systems"].items():
        for kind in ("training", "inference"):
            assert len(found[kind]) == 2 and min(found[kind]) > 0
        memory = result["memory"]["SB"][name]
        assert 0 < memory["loaded"] <= memory["training"]["1"] < 2 * GIB
        assert readme.count(f"| SB | 1 | {name.replace('_', ' ')} |") == 2
    assert min(result["rates"].values()) > 0
    assert result["command"] in readme and result["commit"] in readme


@pytest.mark.slow
def test_what_does_not_fit_is_said(tmp_path):
    options = "--tasks ES --batch_sizes 1 --systems ours_fp32".split()
    readme, result = run(tmp_path / "out", *options, "--memory_limit_gib=0")
    problem = result["cases"][0]["systems"]["ours_fp32"]["problem"]
    assert problem.startswith("does not fit") and problem in readme


def test_what_is_left_out_has_a_reason(tmp_path):
    options = parse_arguments([f"--output_folder={tmp_path}", *TINY])
    memory = {"loaded": GIB, "training": {1: 5 * GIB, 2: 9 * GIB}}
    options.memory_limit_gib = 10
    assert why_not(options, 2, {**memory, "training": {1: GIB}}, 1) is None
    assert "needs 64.0 GiB, " in why_not(options, 16, memory, 1)
    assert "about 40 s" in why_not(
        options, 4, {**memory, "training": {1: GIB}}, 10
    )
    assert why_not(options, 1, {"problem": "killed"}, 1) == "killed"


def operations_backward(gradient, x, weight, *options, out_shape=None):
    """Those of torch.ops.aten.convolution_backward, from the shapes.

    torch's own formula counts a depthwise weight as often as it has channels.
    """
    is_transposed, needed = options[4], options[7][:2]
    columns = x if is_transposed else gradient
    return 2 * math.prod(columns) * math.prod(weight[1:]) * sum(needed)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("implementation", ["stock", "torchaudio"])
def test_operations_agree_with_an_independent_count(implementation, outputs):
    network = make_network(implementation, SIZE, outputs)
    mixture, reference = make_batch(1, 800, outputs, "cpu")
    formula = {torch.ops.aten.convolution_backward: operations_backward}
    with FlopCounterMode(display=False, custom_mapping=formula) as counter:
        estimate = network(mixture)
        inference = counter.get_total_flops()
        si_sdr_loss(estimate, reference).mean().backward()
    expected = (inference, counter.get_total_flops())
    assert count_flop(implementation, SIZE, outputs, 800) == expected


def test_bytes_of_a_step_by_hand():
    # 3 blocks of 2 frames: 5 B + 10 H values of 2 bytes; 7 parameters
    size = Size(B=1, H=10, X=3, R=1)
    inference, training = count_bytes(size, 2, 16, 2, 7)
    assert inference == 3 * 2 * 42 * 2 + 7 * 4
    assert training == 3 * 2 * 105 * 2 + 11 * 7 * 4


def test_ours_and_stock_take_the_same_step():
    systems = [System(n, SIZE, 2, "cpu") for n in ("stock_fp32", "ours_fp32")]
    mixture, reference = make_batch(2, 800, 2, "cpu")
    estimates = []
    for system in systems:
        system.make_adam_state()
        system.train_step(mixture, reference)
        estimates.append(system.infer(mixture))
    assert estimates[0].shape == reference.shape
    assert torch.allclose(*estimates, atol=1e-4)


def test_names_of_systems_are_checked():
    with pytest.raises(ValueError, match="expected stock, ours, torchaudio"):
        System("ours_fp64", SIZE, 1, "cpu")


@pytest.mark.parametrize("fitting", [0, 1, 2, 7, 8, 1024])
def test_the_largest_batch_is_found(fitting):
    assert largest_batch(lambda items: items <= fitting) == fitting
    training = {n: GIB + (11 * GIB * n) // max(1, fitting) for n in (0, 1, 2)}
    if fitting:
        assert extrapolated_batch(training) == pytest.approx(fitting, abs=1)


@pytest.mark.parametrize("bandwidth, reached", [(1e9, "40"), (1e8, "100")])
def test_the_higher_floor_is_what_can_be_reached(bandwidth, reached):
    found = {
        "training": [1.0, 0.5, 0.4],
        "flop": {"training": 2e10},
        "bytes": {"training": 5e7},
    }
    result = {
        "rates": {"fp32 products": 1e11, "bandwidth": bandwidth},
        "cases": [{"task": "ES", "batch": 4, "systems": {"ours_fp32": found}}],
    }
    *_, line = timing_table(result, "training")
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["ES", "4", "ours fp32", "8"]
    assert cells[-3:] == ["200.0", f"{5e10 / bandwidth:.1f}", reached]
