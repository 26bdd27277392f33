"""Trains in mixed precision and in fp32, and compares what comes out.

> python tools/bench_precision.py bench results/precision

The demo's network and corpus, the same seeds and steps, one training after the
other: seed by seed, the precisions in turn. What counts is the best validation
SI-SDRi, in which networks are run in fp32, and its difference within a seed. A
training that is complete in the work folder is not repeated: delete the folder
when the code has changed. Sizes are options, see --help; their defaults are
those of the demo.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys

import pandas as pd
import torch
import yaml
from bench_precision_text import to_markdown
from readme_section import ROOT

from speechbrain.utils.checkpoints import CKPT_PREFIX

RECIPE = ROOT / "recipes/PolSESS"
YAML = "hparams/convtasnet_demo.yaml"
SIZES = {"n_train": 1000, "n_val": 40, "n_test": 60, "epochs": 10}
SEEDS = (1234, 1235, 1236)
CORPUS_SEED = 1234
CONTROL = (
    "fp32_control"  # fp32 with fewer threads, which round in another order
)
LAST_FILE = "test_summary.md"  # where it stands, a training is complete


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


def train(corpus, output, precision, seed, epochs):
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
    environment = {}
    if precision == CONTROL:
        threads = max(1, torch.get_num_threads() // 2)
        environment["OMP_NUM_THREADS"] = str(threads)
    call(
        [sys.executable, "train.py", YAML, *arguments, "--noprogressbar"],
        RECIPE / "separation",
        **environment,
    )


def best_si_sdri(output):
    """The best validation SI-SDRi in dB, and its epoch, with all digits.

    Arguments
    ---------
    output : pathlib.Path
        Of a training.

    Returns
    -------
    si_sdri : float
        Of the checkpoints that are kept, the best one among them.
    epoch : int
        Of that checkpoint.
    """
    metas = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in output.glob(f"save/{CKPT_PREFIX}+*/CKPT.yaml")
    ]
    # Those within an epoch have no score.
    scores = [(m["si_sdri"], m["epoch"]) for m in metas if "si_sdri" in m]
    if not scores:
        sys.exit(f"{output}: no checkpoint with a score")
    return max(scores)


def speed_and_skips(log):
    """Median mixtures a second, and steps without finite gradients.

    Arguments
    ---------
    log : str
        The text of train_log.txt.

    Returns
    -------
    items_per_second : float
        Median of the epochs.
    skipped : int
        Sum over the epochs.

    Example
    -------
    >>> log = (
    ...     "train nonfinite_gradient_steps: 1, train items_per_second: 24.5\\n"
    ... )
    >>> speed_and_skips(log)
    (24.5, 1)
    """
    speeds = re.findall(r"train items_per_second: ([\d.]+)", log)
    skipped = re.findall(r"train nonfinite_gradient_steps: (\d+)", log)
    return statistics.median(map(float, speeds)), sum(map(int, skipped))


def row_of(output, precision, seed):
    """What a training came to."""
    si_sdri, epoch = best_si_sdri(output)
    log = (output / "train_log.txt").read_text(encoding="utf-8")
    speed, skipped = speed_and_skips(log)
    return {
        "seed": seed,
        "precision": precision,
        "si_sdri": si_sdri,
        "best_epoch": epoch,
        "items_per_second": speed,
        "nonfinite_steps": skipped,
    }


def measure(work, sizes, seeds, precisions):
    """A row for each seed and precision; the precisions take turns."""
    # Of these sizes alone, so that nothing of others counts as complete.
    folder = work / "precision_{n_train}_{n_val}_{n_test}_{epochs}".format(
        **sizes
    )
    corpus = folder / "PolSESS"
    make_corpus(corpus, sizes)
    rows = []
    for number, seed in enumerate(seeds):
        for precision in precisions[:: -1 if number % 2 else 1]:
            output = folder / f"{precision}_{seed}"
            train(corpus, output, precision, seed, sizes["epochs"])
            rows.append(row_of(output, precision, seed))
            print(rows[-1], flush=True)
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
    options = parser.parse_args(arguments)
    options.device, options.precisions = device, ["fp32", *half, CONTROL]
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
    table = measure(work, sizes, options.seeds, options.precisions)
    output = options.output_folder
    output.mkdir(parents=True, exist_ok=True)
    table.to_csv(output / "precision.csv", index=False)
    text = to_markdown(table, sizes, options.device)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
