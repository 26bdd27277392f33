"""Every network of the registry at its published sizes: one table.

> python benchmarks/sizes.py results/networks --names TF-Locoformer DPRNN

Parameters, GMAC/s, memory that a training step keeps for the backward pass,
real-time factor on one core, the longest recording in one pass, forms of export;
on a GPU the time of a step and the largest batch in 12 GB. Each size runs in a
process of its own with one thread, on noise.

Authors
 * The PolSESS recipe team 2026
"""

import json
import os
import subprocess
import sys
import time
import weakref
from statistics import median

import numpy as np
import torch
from common import load_hparams, markdown_table, parse, write_results
from networks.options import checkpoint_blocks
from networks.registry import NETWORKS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

GIB = 2**30
LIMIT = 2 * GIB
GPU_LIMIT = 12e9  # bytes
LENGTHS = (2, 4, 8)  # seconds
SLOW = 10  # times real time; slower networks are measured once


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors that were made in it and still live.

    Attributes
    ----------
    live, peak : int
        Bytes now, and the largest number so far.
    """

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.seen = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        """Counts the storages of the results of one operation."""
        result = function(*arguments, **(options or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage):
        if storage not in self.seen:
            self.seen[storage] = None
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, nbytes):
        self.live -= nbytes


def count_macs(separator, samples):
    """Multiplications of a forward pass on some samples, in matrix products.

    torch does not count those of an LSTM; a hook does.
    """
    macs = 0

    def count_lstm(lstm, inputs, _):
        nonlocal macs
        frames = inputs[0].shape[0] * inputs[0].shape[1]
        directions = 2 if lstm.bidirectional else 1
        width = lstm.input_size
        for _ in range(lstm.num_layers):
            gates = 4 * lstm.hidden_size * (width + lstm.hidden_size)
            macs += frames * directions * gates
            width = directions * lstm.hidden_size

    hooks = [
        module.register_forward_hook(count_lstm)
        for module in separator.modules()
        if isinstance(module, torch.nn.LSTM)
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        separator(torch.randn(1, samples))
    for hook in hooks:
        hook.remove()
    flops = sum(
        value
        for name, value in counter.get_flop_counts()["Global"].items()
        if "lstm" not in str(name)
    )
    return macs + flops / 2


def kept_bytes(separator, samples):
    """Bytes that live after a forward pass until its backward pass."""
    mixture = torch.randn(1, samples)
    with LiveTensors() as tensors:
        loss = separator.train()(mixture).square().sum()
        kept = tensors.live
    del loss
    return kept


def longest_seconds(separator, rate):
    """Seconds whose forward pass without gradients would peak at 2 GiB.

    A parabola through the peaks of 2, 4 and 8 s gives them.
    """
    peaks = []
    for seconds in LENGTHS:
        with torch.no_grad(), LiveTensors() as tensors:
            separator.eval()(torch.randn(1, seconds * rate))
        peaks.append(tensors.peak)
    curve = np.poly1d(np.polyfit(LENGTHS, peaks, 2)) - LIMIT
    roots = [x.real for x in curve.roots if abs(x.imag) < 1e-9 and x.real > 0]
    return min(roots)


def measure_gpu(separator, samples):
    """Step time at batch 1, ms, and the largest batch in 12 GB, in bf16."""
    separator = separator.cuda().train()
    optimizer = torch.optim.Adam(separator.parameters())
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(GPU_LIMIT / total)

    def step(batch):
        mixture = torch.randn(batch, samples, device="cuda")
        with torch.autocast("cuda", torch.bfloat16):
            loss = separator(mixture).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()

    times, batch = [], 1
    try:
        for _ in range(6):
            begin = time.perf_counter()
            step(1)
            times.append(time.perf_counter() - begin)
        while batch < 64:
            step(batch + 1)
            batch += 1
    except torch.cuda.OutOfMemoryError:
        batch *= bool(times)
    found = {"gpu_step_ms": 1000 * median(times[1:]) if times[1:] else None}
    return {**found, "gpu_batch_12gb": batch}


def measure(name, size, seconds, gpu_only=False):
    """Measures one size in this process."""
    network = next(n for n in NETWORKS if n.name == name)
    overrides = network.sizes[size][0]
    hparams = load_hparams(network.hparams, overrides, task="SB")
    rate, separator = hparams["sample_rate"], hparams["separator"]
    samples = round(seconds * rate)
    torch.set_num_threads(1)
    found = {"parameters": sum(p.numel() for p in separator.parameters())}
    if gpu_only:
        return {**found, **measure_gpu(separator, samples)}
    separator.eval()
    begin = time.process_time()
    found["gmac_per_second"] = count_macs(separator, samples) / seconds / 1e9
    times = [time.process_time() - begin]
    if times[0] < SLOW * seconds:
        found["longest_seconds"] = longest_seconds(separator, rate)
        times = []
    while len(times) < 3 and sum(times) < SLOW * seconds:
        begin = time.process_time()
        with torch.no_grad():
            separator(torch.randn(1, samples))
        times.append(time.process_time() - begin)
    found["real_time_factor"] = median(times) / seconds
    found["kept_gib"] = kept_bytes(separator, samples) / GIB
    checkpoint_blocks(separator)
    found["checkpointed_gib"] = kept_bytes(separator, samples) / GIB
    return found


def run(**case):
    """Measures one size in a fresh process."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def export_forms(network):
    """The forms of export that the registry names, in words."""
    forms = ["SepformerSeparation" if network.stock else "foreign_class"]
    if network.onnx in ("free", "fixed"):
        forms.append(f"ONNX, {network.onnx} length")
    if not network.streaming:
        forms.append("stream (causal)")
    return "; ".join(forms)


def main():
    """Measures and writes."""
    options = parse(
        __doc__,
        "output_folder",
        names=[network.name for network in NETWORKS],
        seconds=4.0,
    )
    rows = []
    networks = {network.name: network for network in NETWORKS}
    for network in map(networks.get, options.names):
        for size in network.sizes:
            case = {"name": network.name, "size": size}
            case["seconds"] = options.seconds
            row = {"network": network.name, "size": size, **run(**case)}
            if torch.cuda.is_available():
                row |= run(**case, gpu_only=True)
            row |= {"export": export_forms(network), "hparams": network.hparams}
            rows.append(row)
            write(rows, options)  # what follows may take long


def write(rows, options):
    """Writes the rows so far."""
    digits = {"gmac_per_second": 2, "real_time_factor": 2, "kept_gib": 2}
    digits |= {"checkpointed_gib": 2, "longest_seconds": 0, "gpu_step_ms": 0}
    keys = list(dict.fromkeys(key for row in rows for key in row))
    shown = [
        {
            key: f"{row[key]:.{digits[key]}f}"
            if key in digits and row.get(key) is not None
            else row.get(key)
            for key in keys
        }
        for row in rows
    ]
    text = (
        f"Two outputs, 8 kHz, noise of {options.seconds:g} s, fp32, one thread. "
        "GMAC/s: multiplications of matrix products and LSTMs of one second. "
        "kept: tensors that live from the forward to the backward pass of one "
        "item; checkpointed: with --gradient_checkpointing=True, to which one "
        "block comes while it is computed again. real_time_factor: CPU time of "
        "one core. longest: seconds that one forward pass takes in 2 GiB of "
        "tensors, without windows, by a parabola through its peaks at 2, 4 and "
        "8 s; empty: too slow to be tried. `separate_file.py` cuts recordings "
        "into windows and has no such limit."
    )
    write_results(
        options.output_folder,
        "Networks at their published sizes",
        [text, markdown_table(shown)],
        rows,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(measure(**json.loads(sys.argv[2]))))
    else:
        main()
