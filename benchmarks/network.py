"""Time and memory of the fast network against SpeechBrain's.

> python benchmarks/network.py results/network --batches 1 4

A training step (forward, loss, backward, clipping, Adam) and a forward pass
without gradients, on noise; on a GPU if there is one. Each case runs in its own
process, because a process has only one peak of memory; the networks take turns.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import torch
from common import (
    SEED,
    add_ratios,
    load_hparams,
    parse,
    spread_table,
    write_results,
)
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NETWORKS = ("SpeechBrain", "fast")
PRECISIONS = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def make_separator(network, task, sizes):
    """The separator with SpeechBrain's or the fast mask network.

    Arguments
    ---------
    network : str
        SpeechBrain or fast.
    task : str
        ES, EB or SB.
    sizes : dict
        Keys of the YAML.

    Returns
    -------
    separator.Separator
        [batch, time] -> [batch, time, source].
    """
    from fast.convtasnet import MaskNet
    from separator import Separator

    from speechbrain.lobes.models import conv_tasnet

    hparams = load_hparams(task=task, **sizes)
    kind = MaskNet if network == "fast" else conv_tasnet.MaskNet
    letters = {name: hparams[name] for name in "NBHPXR"}
    options = {name: hparams[name] for name in ("norm_type", "causal")}
    masknet = kind(C=hparams["num_spks"], **letters, **options)
    return Separator(hparams["encoder"], masknet, hparams["decoder"])


def make_calls(separator, mixture, reference, precision):
    """A training step and a forward pass, as functions without arguments.

    Arguments
    ---------
    separator : torch.nn.Module
        The network.
    mixture : torch.Tensor
        [batch, time]
    reference : torch.Tensor
        [batch, time, source]
    precision : str
        fp32, bf16, or fp16 with a scaled loss.

    Returns
    -------
    step : callable
        One training step.
    forward : callable
        One forward pass.
    """
    from losses import si_sdr_loss

    parameters = list(separator.parameters())
    optimizer = torch.optim.Adam(parameters)
    scaler = torch.GradScaler(DEVICE, enabled=precision == "fp16")
    half = precision != "fp32"
    autocast = torch.autocast(DEVICE, PRECISIONS[precision], enabled=half)

    def step():
        with autocast:
            estimate = separator(mixture)
        loss = si_sdr_loss(estimate, reference).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def forward():
        with torch.no_grad(), autocast:
            separator(mixture)

    return step, forward


def peak_gib():
    """GiB that torch allocated on the GPU, else the peak of this process."""
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def measure(network, task, precision, batch, seconds, run_seconds, sizes):
    """Measures one case in this process.

    Returns
    -------
    dict
        step_ms, forward_ms, peak_gib, forward_gflop (as counted by torch).
    """
    torch.manual_seed(SEED)
    separator = make_separator(network, task, sizes).to(DEVICE)
    n_samples = round(8000 * seconds)
    noise = torch.randn(batch, n_samples, 3, device=DEVICE)
    reference = noise[..., : 2 if task == "SB" else 1]
    calls = make_calls(separator, noise.sum(-1), reference, precision)
    found = {}
    for name, call in zip(("step", "forward"), calls):
        call()  # warms up
        timer = Timer(
            "call()",
            globals={"call": call},
            num_threads=torch.get_num_threads(),
        )
        found[f"{name}_ms"] = (
            1000 * timer.blocked_autorange(min_run_time=run_seconds).median
        )
    found["peak_gib"] = peak_gib()
    with FlopCounterMode(display=False) as counter:
        calls[1]()
    return {**found, "forward_gflop": counter.get_total_flops() / 1e9}


def run(case):
    """Measures one case in a fresh process; without memory for it: no numbers."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    # Below zero: ended by a signal, which is how a system out of memory does it.
    if done.returncode > 0 and "OutOfMemory" not in done.stderr:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    names = ("step_ms", "forward_ms", "peak_gib", "forward_gflop")
    return dict.fromkeys(names)


def main():
    """Measures and writes."""
    options = parse(
        __doc__,
        "output_folder",
        tasks=["ES", "SB"],
        batches=[1, 4, 16],
        precisions=["fp32", "bf16"] + ["fp16"] * (DEVICE == "cuda"),
        seconds=4.0,
        run_seconds=2.0,
        rounds=3,
        sizes="{}",
    )
    rows = []
    for number, batch, task, precision, network in itertools.product(
        range(options.rounds),
        options.batches,
        options.tasks,
        options.precisions,
        NETWORKS,
    ):
        case = {"task": task, "batch": batch}
        case |= {"precision": precision, "network": network}
        more = {"sizes": json.loads(options.sizes)}
        more |= {x: getattr(options, x) for x in ("seconds", "run_seconds")}
        rows.append({"round": number, **case, **run({**case, **more})})
        print(rows[-1], flush=True)
    base = {"network": NETWORKS[0], "precision": "fp32"}
    for name in ("step_ms", "forward_ms"):
        add_ratios(rows, name, ["round", "task", "batch"], **base)
    keys = ["task", "batch", "precision", "network"]
    digits = {"step_ms": 1, "times step_ms": 2, "forward_ms": 1}
    digits |= {"times forward_ms": 2, "peak_gib": 2, "forward_gflop": 1}
    text = (
        "Median (range) of the rounds; *times* is against SpeechBrain in fp32 in "
        "the same round. A step is forward pass, loss, backward pass, clipping "
        "and Adam; the forward pass keeps no gradients. The peak is that of "
        "torch's allocations on a GPU, else that of the process. Signals: noise "
        f"of {options.seconds:g} s at 8 kHz; sizes {options.sizes}. Cases without "
        "numbers ran out of memory."
    )
    write_results(
        options.output_folder,
        f"Network on {DEVICE}: a step, a forward pass, memory",
        [text, spread_table(rows, keys, **digits)],
        rows,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(measure(**json.loads(sys.argv[2]))))
    else:
        main()
