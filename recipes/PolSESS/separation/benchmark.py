#!/usr/bin/env python3
"""Times training steps and forward passes against SpeechBrain's own modules.

> python benchmark.py --output_folder results/benchmark

For each task and batch size all systems take turns, round by round, so that
what disturbs the machine hits all alike; ratios are taken within a round. What
does not fit into the free memory, or would take too long, is left out, and the
table says why. Memory is measured apart, see ``benchmark_memory``.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import json
import math
import os
import pathlib
import platform
import shlex
import sys
import tempfile
from importlib.metadata import version

import torch
from benchmark_machine import measure_bandwidth, measure_matrix_rate
from benchmark_memory import measure_memory
from benchmark_rounds import run_case
from benchmark_systems import parse
from benchmark_tables import to_markdown
from benchmark_work import Size
from reliability.facts import commit, device_name
from variants import num_outputs

SAMPLE_RATE = 8000
SYSTEMS = {
    "cpu": (
        "stock_fp32 stock_bf16 ours_fp32 ours_bf16 ours_fp32_compiled "
        "torchaudio_fp32"
    ).split(),
    "cuda": (
        "stock_fp32 stock_bf16 stock_fp16 stock_fp32_compiled "
        "stock_bf16_compiled ours_fp32 ours_bf16 ours_fp16 ours_fp32_compiled "
        "ours_bf16_compiled ours_fp16_compiled torchaudio_fp32"
    ).split(),
}
ROUNDS = {"cpu": 5, "cuda": 20}
PACKAGES = ("torch", "torchaudio", "speechbrain")


def parse_arguments(arguments):
    """The command line.

    Arguments
    ---------
    arguments : list of str
        Without the script.

    Returns
    -------
    argparse.Namespace
        With what depends on the device filled in, and the size of the network.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output_folder", required=True, help="README.md, benchmark.json")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--tasks", nargs="+", default=["ES", "SB"])
    add("--batch_sizes", nargs="+", type=int, default=[1, 4, 16])
    add("--seconds", type=float, default=4.0, help="of signal, an item")
    add("--systems", nargs="+", help="e.g. stock_fp32 ours_bf16_compiled")
    add("--skip_compile", action="store_true", help="leave out the compiled")
    add("--rounds", type=int, help="at most; 5 on a CPU, 20 on a GPU")
    add(
        "--case_seconds",
        type=float,
        default=120,
        help="of rounds after the first",
    )
    add("--step_limit", type=float, default=30, help="seconds of a step")
    add("--memory_limit_gib", type=float, default=math.inf)
    for letter, default in Size()._asdict().items():
        add(f"--{letter}", type=int, default=default)
    options = parser.parse_args(arguments)
    kind = torch.device(options.device).type
    options.size = Size(
        **{name: getattr(options, name) for name in Size._fields}
    )
    # A whole number of strides, of which the network returns every sample.
    stride = options.size.stride
    options.samples = stride * round(options.seconds * SAMPLE_RATE / stride)
    options.rounds = options.rounds or ROUNDS[kind]
    systems = options.systems or SYSTEMS[kind]
    options.systems = [
        name
        for name in systems
        if not (options.skip_compile and parse(name)[2])
    ]
    return options


def measure_rates(options, known):
    """What the machine reaches; the best of all times that it is asked."""
    whole = 16 * math.ceil(options.size.count_frames(options.samples) / 16)
    columns = [whole]
    if options.device.startswith("cuda"):  # small products do not fill it
        columns.append(whole * max(options.batch_sizes))
    rates = {
        f"{precision} products": measure_matrix_rate(
            options.size, columns, precision, options.device
        )
        for precision in sorted({parse(name)[1] for name in options.systems})
    }
    rates["bandwidth"] = measure_bandwidth(options.device)
    return {name: max(rate, known.get(name, 0)) for name, rate in rates.items()}


def memory_of(options, task):
    """Memory of each system, of which a CPU gets two small batches alone."""
    batch_sizes = [1, 2]
    if options.device.startswith("cuda"):
        batch_sizes = sorted({1, 2, *options.batch_sizes})
    memory = {}
    for name in options.systems:
        memory[name] = measure_memory(
            name=name,
            size=options.size._asdict(),
            outputs=num_outputs(task),
            samples=options.samples,
            device=options.device,
            batch_sizes=batch_sizes,
            limit_gib=options.memory_limit_gib,
            step_limit=options.step_limit,
        )
        print(task, name, memory[name], flush=True)
    return memory


def run(options):
    """Measures all.

    Arguments
    ---------
    options : argparse.Namespace
        The command line.

    Returns
    -------
    dict
        What benchmark.json holds.
    """
    rates = measure_rates(options, {})
    memory, cases = {}, []
    for task in options.tasks:
        memory[task] = memory_of(options, task)
        item_seconds = {}
        for batch in sorted(options.batch_sizes):
            rates = measure_rates(options, rates)
            case = run_case(options, task, batch, memory[task], item_seconds)
            cases.append(case)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {
        "commit": commit(),
        "machine": device_name(options.device),
        "versions": f"{platform.system()}, Python "
        f"{platform.python_version()}, {packages}",
        "threads": torch.get_num_threads(),
        "size": options.size._asdict(),
        "seconds": options.samples / SAMPLE_RATE,
        "rates": rates,
        "memory": memory,
        "cases": cases,
    }


if __name__ == "__main__":
    chosen = parse_arguments(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        # Compiled before is not compiled: the time would mean nothing.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        result = run(chosen)
    result["command"] = shlex.join(["python", *sys.argv])
    output = pathlib.Path(chosen.output_folder)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1) + "\n"
    (output / "benchmark.json").write_text(text, encoding="utf-8")
    text = to_markdown(result)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)
