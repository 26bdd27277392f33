"""Times saving and loading against SpeechBrain's own checkpointer.

> python tools/bench_checkpoints.py bench results/checkpoints

Both save the same weights and the state of Adam, in turn, into the same folder.
The recipe's adds to SpeechBrain's: a check of the weights, a sum of each file,
and waiting for the disk; loading adds the comparison with the sums. The save
that is timed is the third of its run, so that it deletes the first too.

Authors
 * The PolSESS recipe team 2026
"""

import os
import pathlib
import shutil
import statistics
import sys
import time

import pandas as pd
import torch
from readme_section import where

MEGABYTES = (100, 500)
ROUNDS = 7
INTERVAL_SECONDS = 600  # ckpt_interval_minutes: 10, the default
LAYER = 1000  # inputs and outputs of a layer


def recoverables_of(megabytes):
    """A network and its Adam, which fill so much together."""
    n_layers = round(megabytes * 1e6 / (3 * 4 * LAYER**2))
    layers = [torch.nn.Linear(LAYER, LAYER) for _ in range(n_layers)]
    network = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return {"network": network, "optimizer": optimizer}


def time_one(kind, folder, recoverables):
    """Seconds to save and to load, and what is saved, in megabytes."""
    shutil.rmtree(folder, ignore_errors=True)
    saver = kind(folder, recoverables)
    saver.save_checkpoint(name="first")
    saver.save_checkpoint(name="second")
    os.sync()  # nothing that was written before is waited for
    start = time.perf_counter()
    saver.save_and_keep_only(meta={"si_sdri": 1.0}, max_keys=["si_sdri"])
    saved = time.perf_counter()
    found = saver.recover_if_possible()
    loaded = time.perf_counter()
    size = sum(path.stat().st_size for path in found.path.iterdir())
    shutil.rmtree(folder)
    return {
        "megabytes": round(size / 1e6, 1),
        "save_s": saved - start,
        "load_s": loaded - saved,
    }


def measure(folder):
    """A row for each size, round and checkpointer, which take turns."""
    from reliability.checkpointer import SafeCheckpointer

    from speechbrain.utils.checkpoints import Checkpointer

    kinds = {"recipe": SafeCheckpointer, "SpeechBrain": Checkpointer}
    rows = []
    for megabytes in MEGABYTES:
        recoverables = recoverables_of(megabytes)
        for number in range(1, ROUNDS + 1):
            names = sorted(kinds, reverse=number % 2 == 0)
            for name in names:
                times = time_one(kinds[name], folder, recoverables)
                row = {"checkpointer": name, "round": number, **times}
                rows.append(row)
                print(row, flush=True)
    return pd.DataFrame(rows)


def to_text(seconds):
    """Median and range."""
    return (
        f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to "
        f"{max(seconds):.2f})"
    )


def to_markdown(table):
    """The result as a table with what is needed to repeat it."""
    lines = [
        "# Checkpoints: the recipe's against SpeechBrain's\n",
        "| MB | checkpointer | s to save, median (range) | MB/s | share of "
        "training, % | s to load |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ratios = []
    for megabytes, of_size in table.groupby("megabytes"):
        medians = {}
        for name, rows in of_size.groupby("checkpointer"):
            median = medians[name] = rows["save_s"].median()
            lines.append(
                f"| {megabytes:.0f} | {name} | {to_text(rows['save_s'])} | "
                f"{megabytes / median:.0f} | "
                f"{100 * median / INTERVAL_SECONDS:.2f} | "
                f"{to_text(rows['load_s'])} |"
            )
        ratio = medians["recipe"] / medians["SpeechBrain"]
        ratios.append(f"{ratio:.1f} at {megabytes:.0f} MB")
    commit, machine = where()
    return "\n".join(lines) + (
        f"\n\nSaving takes {', '.join(ratios)} times as long as SpeechBrain's, "
        "which does not wait for the disk. The share is that of the seconds to "
        f"save in {INTERVAL_SECONDS} s, the default interval; "
        f"{ROUNDS} rounds in turn, in `checkpoints.csv`.\n\n"
        "`make bench` (`tools/bench_checkpoints.py`) at commit "
        f"{commit}: {machine}.\n"
    )


def main(work_folder, output_folder):
    """Measures, and writes README.md and checkpoints.csv.

    Arguments
    ---------
    work_folder : str
        For the checkpoints, on the disk to be measured.
    output_folder : str
        For the figures.
    """
    torch.manual_seed(1234)
    table = measure(pathlib.Path(work_folder) / "checkpoints")
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    table.round(4).to_csv(output / "checkpoints.csv", index=False)
    text = to_markdown(table)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
