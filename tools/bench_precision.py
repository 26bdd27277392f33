"""Trains in mixed precision and in fp32, and compares what comes out.

> python tools/bench_precision.py bench results/precision

The demo's network and corpus, the same seeds and steps: seed by seed, the
precisions in turn, controls at the end. What counts is the best validation
SI-SDRi, in which networks are run in fp32, and its difference within a seed. A
training that is complete in the work folder is not repeated: delete the folder
when the code has changed. Sizes are options, see --help; their defaults are
those of the demo. With --at_once several trainings share the cores: so small a
network gains little from a second thread. A control always runs alone.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import itertools
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import torch
from bench_precision_rows import LAST_FILE, row_of
from bench_precision_text import to_markdown
from readme_section import ROOT

RECIPE = ROOT / "recipes/PolSESS"
YAML = "hparams/convtasnet_demo.yaml"
SIZES = {"n_train": 1000, "n_val": 40, "n_test": 60, "epochs": 10}
SEEDS = (1234, 1235, 1236)
CORPUS_SEED = 1234
CONTROL = (
    "fp32_control"  # fp32 with other threads, which round in another order
)


def call(command, folder, **environment):
    """Runs a command, and stops with what it wrote if it fails."""
    print("> " + " ".join(map(str, command)), flush=True)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(
            f"{done.stdout[-3000:]}\nfailed: {' '.join(map(str, command))}"
        )


def make_corpus(folder, sizes):
    """Makes the corpus, or completes it."""
    arguments = ["--output_folder", folder, "--seed", str(CORPUS_SEED)]
    for name in ("n_train", "n_val", "n_test"):
        arguments += [f"--{name}", str(sizes[name])]
    script = RECIPE / "simulate/make_corpus.py"
    call([sys.executable, script, *arguments], ROOT)


def threads_of(precision, at_once):
    """Threads of a training: its share of the cores, for the control another.

    Example
    -------
    >>> cores = torch.get_num_threads()
    >>> threads_of("bf16", at_once=cores), threads_of(CONTROL, at_once=cores)
    (1, 2)
    """
    threads = max(1, torch.get_num_threads() // at_once)
    if precision == CONTROL:
        return threads // 2 if threads > 1 else 2
    return threads


def train(corpus, output, precision, seed, epochs, threads):
    """Trains, unless it has been done."""
    if (output / LAST_FILE).exists():
        print(f"{output}: complete already", flush=True)
        return
    options = {
        "data_folder": corpus,
        "output_folder": output,
        "seed": seed,
        "number_of_epochs": epochs,
        "precision": "fp32" if precision == CONTROL else precision,
        "eval_precision": "fp32",
        "metrics": "[si_sdr]",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    call(
        [sys.executable, "train.py", YAML, *arguments, "--noprogressbar"],
        RECIPE / "separation",
        OMP_NUM_THREADS=str(threads),
    )


def measure(work, sizes, seeds, precisions, at_once=1):
    """A row for each seed and precision; the precisions take turns."""
    # Of these sizes alone, so that nothing of others counts as complete.
    folder = work / "precision_{n_train}_{n_val}_{n_test}_{epochs}".format(
        **sizes
    )
    corpus = folder / "PolSESS"
    make_corpus(corpus, sizes)

    def row(seed, precision):
        """Trains one of them."""
        threads = threads_of(precision, at_once)
        output = folder / f"{precision}_{seed}_threads_{threads}"
        train(corpus, output, precision, seed, sizes["epochs"], threads)
        found = row_of(output, precision, seed, threads)
        print(found, flush=True)
        return found

    orders = itertools.cycle([precisions, precisions[::-1]])
    cases = [(s, p) for s, order in zip(seeds, orders) for p in order]
    controls = [case for case in cases if case[1] == CONTROL]
    with ThreadPoolExecutor(at_once) as pool:
        others = [case for case in cases if case not in controls]
        rows = list(pool.map(row, *zip(*others)))
    rows += [row(*case) for case in controls]  # has threads of its own
    return pd.DataFrame(rows)


def options_of(arguments):
    """The options of the command line; the precisions are those of the device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("work_folder", type=pathlib.Path, help="for corpus and trainings")
    add("output_folder", type=pathlib.Path, help="for the figures")
    for name, value in SIZES.items():
        add(f"--{name}", type=int, default=value, help=f"default {value}")
    add("--seeds", type=int, nargs="+", default=SEEDS)
    # SpeechBrain refuses fp16 on a CPU.
    half = ["bf16", "fp16"] if device == "cuda" else ["bf16"]
    all_of_them = ["fp32", *half, CONTROL]
    add("--precisions", nargs="+", choices=all_of_them, default=all_of_them)
    add("--at_once", type=int, default=1, help="trainings; default 1")
    options = parser.parse_args(arguments)
    if "fp32" not in options.precisions:
        parser.error("--precisions: fp32 is what the others are compared with")
    for name in ("seeds", "precisions"):
        found = getattr(options, name)
        if len(set(found)) < len(found):
            parser.error(f"--{name}: each once expected, {found} found")
    if not 1 <= options.at_once <= torch.get_num_threads():
        parser.error(
            f"--at_once: 1 to {torch.get_num_threads()} (threads) expected, "
            f"{options.at_once} found"
        )
    options.device = device
    return options


def main(arguments):
    """Measures, and writes README.md and precision.csv.

    Arguments
    ---------
    arguments : list of str
        Of the command line.
    """
    options = options_of(arguments)
    sizes = {name: getattr(options, name) for name in SIZES}
    work = pathlib.Path(os.path.abspath(options.work_folder))
    table = measure(
        work, sizes, options.seeds, options.precisions, options.at_once
    )
    output = options.output_folder
    output.mkdir(parents=True, exist_ok=True)
    table.to_csv(output / "precision.csv", index=False)
    text = to_markdown(table, sizes, options.device, output, options.at_once)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
