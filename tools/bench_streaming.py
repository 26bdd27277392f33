"""Measures separation of live audio on one core, against the whole at once.

> python tools/bench_streaming.py results/streaming

A signal is pushed through ``StreamingSeparator`` in blocks of several lengths,
and given to the same network as a whole. The ways take turns, forwards and
backwards; the first turn warms up. The real-time factor is the time to compute
divided by the time that the signal lasts. Weights are random: they do not change
the time.

Authors
 * The PolSESS recipe team 2026
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time

import pandas as pd
import torch
from hyperpyyaml import load_hyperpyyaml
from readme_section import ROOT, where

YAMLS = {
    "small": "convtasnet_small.yaml",
    "default": "convtasnet_causal.yaml",
}
BLOCKS_MS = (8, 16, 32, 128)
SECONDS = 3  # of signal
TURNS = 5
SEED = 1234


def network_of(name):
    """The causal network of a YAML, and its sample rate."""
    path = ROOT / "recipes/PolSESS/separation/hparams" / name
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "seed": SEED,
            "data_folder": folder,
            "output_folder": folder,
            "norm_type": "cLN",
            "causal": True,
        }
        with open(path, encoding="utf-8") as file:
            hparams = load_hyperpyyaml(file, overrides)
    return hparams["separator"].eval(), hparams["sample_rate"]


def time_whole(separator, signal):
    """The estimate of a whole signal, and the seconds that it takes."""
    with torch.no_grad():
        start = time.perf_counter()
        estimate = separator(signal[None])[0]
        return estimate, [time.perf_counter() - start]


def time_stream(separator, signal, length):
    """The estimate in blocks of a length, and the seconds of each block."""
    from streaming.streaming import StreamingSeparator

    stream = StreamingSeparator(separator)
    parts, seconds = [], []
    for block in signal.split(length):
        start = time.perf_counter()
        parts.append(stream.push(block))
        seconds.append(time.perf_counter() - start)
    parts.append(stream.flush())
    return torch.cat(parts), seconds


def time_way(separator, sample_rate, signal, block_ms, expected):
    """A row: one way, a length of blocks or 0 for the whole, once."""
    cpu_start = time.process_time()
    if block_ms:
        length = block_ms * sample_rate // 1000
        estimate, seconds = time_stream(separator, signal, length)
    else:
        estimate, seconds = time_whole(separator, signal)
    cpu_seconds = time.process_time() - cpu_start
    n_late = sum(1000 * s > block_ms for s in seconds)
    return {
        "block_ms": block_ms,
        "real_time_factor": sum(seconds) * sample_rate / len(signal),
        "cpu_factor": cpu_seconds * sample_rate / len(signal),
        "median_ms": 1000 * statistics.median(seconds),
        "slowest_ms": 1000 * max(seconds),
        "late_percent": 100 * n_late / len(seconds) if block_ms else None,
        "error": (estimate - expected).abs().max().item(),
        "peak": expected.abs().max().item(),
    }


def measure():
    """A row for each size, turn and way."""
    rows = []
    for size, name in YAMLS.items():
        separator, sample_rate = network_of(name)
        generator = torch.Generator().manual_seed(SEED)
        n_samples = SECONDS * sample_rate
        signal = 0.1 * torch.randn(n_samples, generator=generator)
        expected, _ = time_whole(separator, signal)
        parameters = sum(p.numel() for p in separator.parameters())
        for turn in range(TURNS + 1):
            for block_ms in sorted((0, *BLOCKS_MS), reverse=turn % 2 == 0):
                row = {"size": size, "parameters": parameters, "turn": turn}
                row |= time_way(
                    separator, sample_rate, signal, block_ms, expected
                )
                rows.append(row)
                print(row, flush=True)
    table = pd.DataFrame(rows)
    return table[table["turn"] > 0]


def to_text(values, digits=2):
    """Median and range."""
    numbers = statistics.median(values), min(values), max(values)
    median, least, most = (f"{number:.{digits}f}" for number in numbers)
    return f"{median} ({least} to {most})"


def to_markdown(table):
    """The result as a table with what is needed to repeat it."""
    lines = [
        "# Live audio: real-time factor on one core\n",
        "| size | parameters | block, ms | real-time factor, median (range) | "
        "the same in CPU time | ms to compute a block, median (range) | blocks "
        "that took longer than they last, % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    keys = ["size", "parameters", "block_ms"]
    for (size, parameters, block_ms), rows in table.groupby(keys, sort=False):
        cells = [size, f"{parameters / 1e6:.2f} M", block_ms or "whole file"]
        cells.append(to_text(rows["real_time_factor"]))
        cells.append(to_text(rows["cpu_factor"]))
        cells += ["", ""]
        if block_ms:
            cells[-2:] = (
                to_text(rows["median_ms"], 1),
                to_text(rows["late_percent"], 1),
            )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    commit, machine = where()
    return "\n".join(lines) + (
        "\n\nBelow 1 the real-time factor (seconds to compute a second of signal) "
        "keeps up with live audio. CPU time leaves out the waiting where other "
        "programs run on the same cores. What is heard lags by the block, the latency "
        "of the network (15 samples, 1.9 ms at 8 kHz) and the time to compute the "
        "block. Whole file is the forward pass of the same network over the same "
        "signal at once; the estimates of the streams differ from it by at most "
        f"{table['error'].max():.1e}, where the largest one is "
        f"{table['peak'].max():.2f}. {SECONDS} s of noise at 8 kHz, one output, "
        f"one thread, float32, random weights, seed {SEED}, {TURNS} turns in "
        "`streaming.csv`, in which the ways alternate; load of the machine at the "
        f"end: {os.getloadavg()[0]:.1f} processes on {os.cpu_count()} cores.\n\n"
        f"`python tools/bench_streaming.py results/streaming` at commit {commit}: "
        f"{machine}.\n"
    )


def main(output_folder):
    """Measures, and writes README.md and streaming.csv.

    Arguments
    ---------
    output_folder : str
        For the figures.
    """
    torch.set_num_threads(1)
    table = measure()
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    table.to_csv(output / "streaming.csv", index=False, float_format="%.4g")
    text = to_markdown(table)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
