"""Speed of a training by its threads, idle and beside a busy process.

> python benchmarks/threads.py bench results/threads --threads 1 2 -- --N=128

Each run is train.py for two epochs; the speed is that of the second one. The
busy process is a Python loop of equal priority. All cases take turns in each
round. The YAML's limit of threads is off. Options after -- go to train.py.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import itertools
import shutil
import subprocess
import sys

from common import (
    add_ratios,
    make_corpus,
    parse,
    spread_table,
    train,
    write_results,
)


@contextlib.contextmanager
def busy_processes(number):
    """Runs that many endless loops; they end with the block."""
    command = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main():
    """Measures and writes."""
    options = parse(
        __doc__,
        "work_folder output_folder",
        threads=[1, 2],
        num_workers=[1],
        mixtures=240,
        rounds=3,
    )
    work = options.work_folder / f"threads_{options.mixtures}"
    make_corpus(work / "PolSESS", n_train=options.mixtures)
    rows = []
    for number, threads, workers, busy in itertools.product(
        range(options.rounds), options.threads, options.num_workers, (0, 1)
    ):
        shutil.rmtree(work / "run", ignore_errors=True)  # else it would resume
        arguments = [
            *options.flags,
            f"--data_folder={work / 'PolSESS'}",
            f"--num_workers={workers}",
            "--number_of_epochs=2",
            "--ckpt_interval_minutes=0",
        ]
        with busy_processes(busy):
            *_, epoch = train(work / "run", arguments, threads)
        row = {"round": number, "threads": threads, "num_workers": workers}
        row["busy"] = busy
        row["mixtures_per_second"] = epoch["train items_per_second"]
        rows.append(row)
        print(row, flush=True)
    case = ["threads", "num_workers"]
    add_ratios(rows, "mixtures_per_second", ["round", *case], busy=0)
    digits = {"mixtures_per_second": 1, "times mixtures_per_second": 2}
    table = spread_table(rows, [*case, "busy"], **digits)
    text = (
        f"Median (range) of {options.rounds} rounds in turn; *times* is against "
        "the idle machine in the same round. Busy: number of endless Python "
        f"loops beside the training. {options.mixtures} mixtures, second epoch."
    )
    title = "Training by threads, idle and beside a busy process"
    write_results(options.output_folder, title, [table, text], rows)


if __name__ == "__main__":
    main()
