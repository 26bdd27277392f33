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
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import pandas as pd
import yaml
from common import (
    SEPARATION,
    load_hparams,
    markdown_table,
    parse,
    write_results,
)
from networks.registry import NETWORKS
from reporting.compare import compare
from sizes import count_macs
from summary import read_scores, summarise
from variants import VARIANTS

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


def core_seconds(pid):
    """Seconds of CPU time that a process has used; it has no children."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return sum(map(int, text.rpartition(")")[2].split()[11:13])) / TICKS


def train_py(name, words, core, output):
    """Starts train.py on one core; its output goes to a file."""
    hparams = next(n.hparams for n in NETWORKS if n.name == name)
    command = [sys.executable, "train.py", f"hparams/{hparams}", *words]
    with open(output, "a", encoding="utf-8") as file:
        return subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=SEPARATION,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def train(name, task, seed, corpus, folder, seconds, cores):
    """Trains one network for some seconds of a core's time, and tests it.

    Arguments
    ---------
    name, task, seed : str, str, int
        Network of the registry, task, seed.
    corpus, folder : Path
        Root of the corpus, output folder of the run.
    seconds : float
        CPU time of the training, its start and validations included.
    cores : queue.Queue
        Numbers of idle cores.

    Returns
    -------
    bool
        Whether there are test scores; without a validated epoch there are none.
    """
    if (folder / "test_scores.csv").is_file():
        return True
    # An interrupted training starts over: its elapsed time is unknown.
    shutil.rmtree(folder, ignore_errors=True)
    core = cores.get()
    words = [f"--data_folder={corpus}", f"--output_folder={folder}"]
    words += [f"--task={task}", f"--seed={seed}", *FLAGS.split()]
    words += shlex.split(demo_sizes()[name])
    output = folder.with_suffix(".log")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        process = train_py(name, words, core, output)
        while process.poll() is None and core_seconds(process.pid) < seconds:
            time.sleep(1)
        process.send_signal(signal.SIGTERM)  # finishes its step and saves
        process.wait()
        log = folder / "train_log.txt"
        if process.returncode != 128 + signal.SIGTERM or not log.is_file():
            print(f"{output}: exit code {process.returncode}", flush=True)
            return False
        return train_py(name, [*words, "--test_only"], core, output).wait() == 0
    finally:
        cores.put(core)


def mean_of_seeds(folders):
    """Scores of several seeds, averaged row by row."""
    tables = [read_scores(folder / "test_scores.csv") for folder in folders]
    keys = ["ID", "variant", "setting", "source"]
    return (
        pd.concat(tables)
        .groupby(keys, sort=False)[["si_sdr", "si_sdr_mix", "si_sdri"]]
        .mean()
        .reset_index()
    )


def macro_mean(scores, task):
    """The line of a summary for the mean over variants."""
    table = summarise(scores, VARIANTS, task)
    return table[table["variant"] == "macro mean"].iloc[0]


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
        hparams = next(n.hparams for n in NETWORKS if n.name == name)
        separator = load_hparams(hparams, flags, task=task)["separator"]
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
        row["seeds"] = len(runs)
        row |= {"lowest_seed": min(seeds), "highest_seed": max(seeds)}
        if base is not None:
            table = compare({BASE: base, f"{name}, seeds averaged": scores})
            of_mean = table["variant"].eq("macro mean")
            line = table[of_mean & table["score"].eq("si_sdri")].iloc[0]
            row["difference"] = line["difference"]
            row["difference_low"] = line["ci_low"]
            row["difference_high"] = line["ci_high"]
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
        "SI-SDRi [95 %]": f"{row['si_sdri']:.2f} "
        f"[{row['ci_low']:.2f}, {row['ci_high']:.2f}]",
        "seeds": f"{row['lowest_seed']:.2f} to {row['highest_seed']:.2f} "
        f"({row['seeds']})",
    }
    if "difference" in row:
        cells[f"less {BASE}"] = (
            f"{row['difference']:+.2f} "
            f"[{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"
        )
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
    cores = queue.Queue()
    for core in sorted(os.sched_getaffinity(0))[: options.jobs]:
        cores.put(core)
    cases = list(itertools.product(options.seeds, options.tasks, options.names))
    folders = {
        (task, name, seed): options.work_folder
        / f"{name.replace(' ', '_')}_{task}"
        / str(seed)
        for seed, task, name in cases
    }
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = {
            case: pool.submit(
                train,
                case[1],
                case[0],
                case[2],
                options.corpus,
                folder,
                60 * options.minutes,
                cores,
            )
            for case, folder in folders.items()
        }
    rows, without = [], []
    for task in options.tasks:
        tested = {}
        for (of_task, name, seed), job in jobs.items():
            if of_task == task and job.result():
                tested.setdefault(name, []).append(folders[task, name, seed])
            elif of_task == task:
                without.append(f"{name} ({task}, seed {seed})")
        rows += rows_of(task, tested)
    text = (
        f"SI-SDRi in dB, the mean over the test variants of {options.corpus.name} "
        f"({options.corpus.parent.name}), with its 95 % interval over mixtures; "
        "seeds are averaged first. Each network was trained for "
        f"{options.minutes:g} minutes of one core's time, start and validations "
        "included, from the overrides in `benchmarks/demo_sizes.yaml` with "
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
