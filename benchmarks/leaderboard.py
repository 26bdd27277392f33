"""Every network at the compute of the demo: same corpus, same time of one core.

> python benchmarks/leaderboard.py bench/demo/PolSESS bench/leaderboard results/networks/demo

Each network is shrunk to the GMAC/s of the demo's Conv-TasNet (demo_sizes.yaml),
trained for some minutes of one core's time, and tested with the weights of its
best validation, by the test stage of train.py. A run that was tested is not
repeated, so that the command goes on with the others where it was interrupted.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import os
import re
import shlex
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import matplotlib
import yaml
from common import load_hparams, markdown_table, parse, write_results
from networks.registry import NETWORKS
from paired import (
    difference,
    interval,
    macro_mean,
    mean_of_seeds,
    on_cores,
    silent_rows,
    start,
)
from sizes import count_macs

DEMO_SIZES = Path(__file__).with_name("demo_sizes.yaml")
BASE = "Conv-TasNet"
# The same for all; the learning rate suits all of them and none best.
FLAGS = (
    "--segment_seconds=2.0 --batch_size=4 --grad_accumulation_factor=1 "
    "--lr=0.001 --weight_decay=0.0 --num_workers=0 --number_of_epochs=1000 "
    "--ckpt_interval_minutes=0 --metrics=[si_sdr] --noprogressbar"
)
TICKS = os.sysconf("SC_CLK_TCK")


def demo_sizes():
    """Name of each network -> overrides of its YAML at the demo's compute."""
    return yaml.safe_load(DEMO_SIZES.read_text(encoding="utf-8"))


def hparams_of(name):
    """File name of the YAML of a network."""
    return next(n.hparams for n in NETWORKS if n.name == name)


def core_seconds(pid):
    """Seconds of CPU time that a process has used; it has no children."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return sum(map(int, text.rpartition(")")[2].split()[11:13])) / TICKS


def train(corpus, work_folder, seconds, case, core):
    """Trains one network for some seconds of a core's time, and tests it.

    Arguments
    ---------
    corpus, work_folder : Path
        Root of the corpus, folder of all runs.
    seconds : float
        CPU time of the training, its start and validations included.
    case : tuple
        Seed, task and name of the network.
    core : int
        Number of an idle core.

    Returns
    -------
    Path
        Folder of the tested run; None without a validated epoch.
    """
    seed, task, name = case
    folder = work_folder / f"{name.replace(' ', '_')}_{task}" / str(seed)
    if (folder / "test_scores.csv").is_file():
        return folder
    # An interrupted training starts over: its elapsed time is unknown.
    shutil.rmtree(folder, ignore_errors=True)
    words = [f"hparams/{hparams_of(name)}", f"--data_folder={corpus}"]
    words += [f"--output_folder={folder}", f"--task={task}", f"--seed={seed}"]
    words += [*FLAGS.split(), *shlex.split(demo_sizes()[name])]
    output = folder.with_suffix(".log")
    process = start("train.py", words, core, output)
    while process.poll() is None and core_seconds(process.pid) < seconds:
        time.sleep(1)
    process.send_signal(signal.SIGTERM)  # finishes its step and saves
    process.wait()
    log = folder / "train_log.txt"
    if process.returncode != 128 + signal.SIGTERM or not log.is_file():
        print(f"{output}: exit code {process.returncode}", flush=True)
        return None
    test = start("train.py", [*words, "--test_only"], core, output)
    return None if test.wait() else folder


def epochs_of(folder):
    """Epochs that were validated."""
    log = (folder / "train_log.txt").read_text(encoding="utf-8")
    return max(map(int, re.findall(r"epoch: (\d+)", log)))


def rows_of(task, folders):
    """A row for each network: SI-SDRi and difference to Conv-TasNet, in dB.

    Arguments
    ---------
    task : str
        ES, EB or SB.
    folders : dict
        Name -> folders of its tested runs, one a seed.

    Returns
    -------
    list of dict
        The best network first.
    """
    rows = []
    base = mean_of_seeds(folders[BASE]) if BASE in folders else None
    for name, runs in folders.items():
        flags = demo_sizes()[name]
        hparams = load_hparams(hparams_of(name), flags, task=task)
        separator = hparams["separator"]
        scores = mean_of_seeds(runs)
        summary = macro_mean(scores, task)
        seeds = [
            macro_mean(mean_of_seeds([run]), task)["si_sdri_mean"]
            for run in runs
        ]
        row = {"task": task, "network": name}
        row["parameters"] = sum(p.numel() for p in separator.parameters())
        row["gmac_per_second"] = count_macs(separator.eval(), 32000) / 4e9
        row["epochs"] = min(map(epochs_of, runs))
        row["si_sdri"] = summary["si_sdri_mean"]
        row["ci_low"] = summary["si_sdri_ci_low"]
        row["ci_high"] = summary["si_sdri_ci_high"]
        row["silent"] = silent_rows(runs)
        row["seeds"] = len(runs)
        row |= {"lowest_seed": min(seeds), "highest_seed": max(seeds)}
        if base is not None:
            names = ("difference", "difference_low", "difference_high")
            row |= zip(names, difference(base, scores))
        rows.append(row)
    return sorted(rows, key=lambda row: -row["si_sdri"])


def plot(rows, path):
    """Draws SI-SDRi against GMAC/s, a panel a task."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure, axes = pyplot.subplots(
        1, len(tasks), figsize=(6 * len(tasks), 4.5), squeeze=False
    )
    for task, axis in zip(tasks, axes[0]):
        for row in rows:
            if row["task"] != task:
                continue
            place = row["gmac_per_second"], row["si_sdri"]
            spread = [
                [row["si_sdri"] - row["ci_low"]],
                [row["ci_high"] - row["si_sdri"]],
            ]
            axis.errorbar(*place, yerr=spread, fmt="o")
            axis.annotate(
                row["network"],
                place,
                xytext=(6, 3),
                textcoords="offset points",
                fontsize=8,
            )
        axis.set(title=task, xlabel="GMAC/s", ylabel="SI-SDRi [dB]")
        axis.margins(x=0.25)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def shown(row):
    """A row as a reader sees it."""
    cells = {
        "task": row["task"],
        "network": row["network"],
        "parameters": f"{row['parameters']:,}",
        "GMAC/s": f"{row['gmac_per_second']:.3f}",
        "epochs": row["epochs"],
        "SI-SDRi [95 %]": interval(
            *(row[name] for name in ("si_sdri", "ci_low", "ci_high")),
            silent=row["silent"],
        ),
        "seeds": f"{row['lowest_seed']:.2f} to {row['highest_seed']:.2f} "
        f"({row['seeds']})",
    }
    if "difference" in row:
        names = ("difference", "difference_low", "difference_high")
        cells[f"less {BASE}"] = interval(*(row[n] for n in names), sign="+")
    return cells


def main():
    """Trains, tests and writes."""
    options = parse(
        __doc__,
        "corpus work_folder output_folder",
        names=list(demo_sizes()),
        tasks=["ES", "SB"],
        seeds=[1234, 5678],
        minutes=20.0,
        jobs=2,
    )
    cases = list(itertools.product(options.seeds, options.tasks, options.names))
    seconds = 60 * options.minutes
    one = partial(train, options.corpus, options.work_folder, seconds)
    folders = on_cores(one, cases, options.jobs)
    rows, without = [], []
    for task in options.tasks:
        tested = {}
        for (seed, of_task, name), folder in folders.items():
            if of_task == task and folder:
                tested.setdefault(name, []).append(folder)
            elif of_task == task:
                without.append(f"{name} ({task}, seed {seed})")
        rows += rows_of(task, tested)
    text = (
        f"SI-SDRi in dB, the mean over the test variants of {options.corpus.name} "
        f"({options.corpus.parent.name}), with its 95 % interval over mixtures; "
        "seeds are averaged first. Each network was trained for "
        f"{options.minutes:g} minutes of one core's time, start and validations "
        "included, from the overrides in `benchmarks/demo_sizes.yaml`, whose "
        f"GMAC/s for ES are within a fifth of {BASE}'s, with "
        f"`{FLAGS}`. The learning rate was not searched for any of them. Small "
        "networks after minutes say little about large ones after days: which "
        "design learns fast at this size, not which one ends best."
    )
    if without:
        text += f" No epoch was validated in time: {', '.join(without)}."
    write_results(
        options.output_folder,
        f"Networks at the demo's compute, {options.corpus.parent.name} corpus",
        [
            text,
            "![SI-SDRi against GMAC/s](gmac.png)",
            markdown_table(list(map(shown, rows))),
        ],
        rows,
    )
    plot(rows, options.output_folder / "gmac.png")


if __name__ == "__main__":
    main()
