"""Measures the separation of long recordings: quality, order, time, memory.

> python tools/bench_separation.py RUN CORPUS bench results/separation

RUN is the output folder of a training for SB, CORPUS the simulated corpus that it
was trained on. Recordings of two minutes are made of test mixtures of the same two
speakers. Their mixtures are also separated one by one, and each then brought into
the order of the references (oracle order).

Authors
 * The PolSESS recipe team 2026
"""

import json
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import soundfile
import torch
from long_recordings import make_recordings
from readme_section import ROOT, where

N_PAIRS = 6
N_PIECES = 32
SEED = 5
ROUNDS = 5
ACTIVE = 0.1  # of a speaker's RMS over the recording; quieter is a pause
HOURS = 2
LARGE_SECONDS = 600
SCRIPT = ROOT / "recipes/PolSESS/separation/separate_file.py"
# Prints the peak of a process in KiB: that of resource begins with the parent's.
PEAK = (
    "import os, re, runpy, sys; sys.argv = sys.argv[1:]\n"
    "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
    "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    "finally: print(re.search('VmHWM.*', open('/proc/self/status').read())[0])"
)


def si_sdr(estimates, recording, oracle):
    """The SI-SDR of each piece and speaker, in dB.

    Arguments
    ---------
    estimates : torch.Tensor
        [time, source]
    recording : LongRecording
        With the references.
    oracle : bool
        Whether each piece takes its own best order, or all the one that is best
        for all.

    Returns
    -------
    torch.Tensor
        [piece, source]
    """
    from losses import pairwise_si_sdr

    size = (-1, recording.piece, estimates.shape[-1])
    scores = pairwise_si_sdr(
        estimates.reshape(size), recording.references.reshape(size)
    )  # [piece, estimate, reference]
    orders = torch.stack([scores[:, [0, 1], [0, 1]], scores[:, [1, 0], [0, 1]]])
    means = orders.mean(-1)
    if not oracle:
        return orders[means.mean(-1).argmax()]
    return torch.where((means[0] > means[1]).unsqueeze(-1), *orders)


def borders(separation, recording):
    """How often the order is right where two windows meet.

    Arguments
    ---------
    separation : Separation
        The model.
    recording : LongRecording
        What is separated.

    Returns
    -------
    right : int
        Borders at which the order found is that which the references tell.
    active : int
        Borders with both speakers active.
    borders : int
        All.
    """
    from inference.windows import best_order

    windows = separation.windows
    overlap, references = windows.overlap, recording.references
    loud = references.square().mean(0).sqrt()
    right = active = total = 0
    before = None
    for start, estimates in windows._estimates([recording.mixture]):
        if before is not None:
            end = before[0] + len(before[1])
            part = references[end - overlap : end]
            old = before[1][-overlap:]
            new = estimates[end - overlap - start :][:overlap]
            total += 1
            if (part.square().mean(0).sqrt() > ACTIVE * loud).all():
                active += 1
                # References -> old, references -> new, old -> new.
                true_old = _order(part, old)
                true_new = _order(part, new)
                expected = [true_new[true_old.index(i)] for i in (0, 1)]
                right += best_order(old, new) == expected
        before = start, estimates
    return right, active, total


def _order(references, estimates):
    """For each reference its estimate, by correlation."""
    a = references - references.mean(0)
    b = estimates - estimates.mean(0)
    table = (a.t() @ b).abs() / (a.norm(dim=0)[:, None] * b.norm(dim=0))
    straight = table[0, 0] + table[1, 1] >= table[0, 1] + table[1, 0]
    return [0, 1] if straight else [1, 0]


def measure_quality(separation, recordings):
    """A row for each recording."""
    rows = []
    for recording in recordings:
        whole = torch.from_numpy(separation(recording.mixture))
        pieces = recording.mixture.split(recording.piece)
        alone = torch.cat([torch.from_numpy(separation(p)) for p in pieces])
        right, active, total = borders(separation, recording)
        rows.append(
            {
                "speakers": recording.name,
                "seconds": len(recording.mixture) / separation.sample_rate,
                "pieces_oracle_db": si_sdr(alone, recording, True)
                .mean()
                .item(),
                "long_db": si_sdr(whole, recording, False).mean().item(),
                "long_oracle_db": si_sdr(whole, recording, True).mean().item(),
                "borders": total,
                "both_active": active,
                "order_right": right,
            }
        )
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def measure_time(separation, mixture):
    """Seconds in windows and in one pass, and their ratio, of each round."""
    rows = []
    for number in range(ROUNDS + 1):
        start = time.perf_counter()
        separation._estimate(mixture[None])
        middle = time.perf_counter()
        separation(mixture)
        end = time.perf_counter()
        rows.append(
            (middle - start, end - middle, (end - middle) / (middle - start))
        )
    return [list(column) for column in zip(*rows[1:])]


def measure_memory(run, work, seconds):
    """The peak beyond that of a recording of one second, in GiB."""
    peaks = []
    for length in (1, seconds):
        path = work / f"{length}.wav"
        with soundfile.SoundFile(str(path), "w", 8000, 1, "PCM_16") as file:
            generator = np.random.default_rng(0)
            for _ in range(length):
                file.write(0.1 * generator.standard_normal(8000))
        command = [sys.executable, "-c", PEAK, SCRIPT, run, path, "--overwrite"]
        command += ["--output_folder", work / "separated"]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True
        )
        peaks.append(int(re.search(r"VmHWM:\s+(\d+)", done.stdout)[1]) / 2**20)
        path.unlink()
    return peaks[1] - peaks[0]


def untrained_run(folder):
    """The output folder of a network of the default size that learnt nothing."""
    sys.path.insert(0, str(ROOT / "tests"))
    from trained_runs import make_run

    sizes = dict(N=256, B=256, H=512, X=8, R=4)
    if not (folder / "hyperparams.yaml").exists():
        make_run(folder, task="SB", **sizes)
    return folder


def main(run, corpus, work_folder, output_folder):
    """Measures, and writes README.md, recordings.csv and separation.json.

    Arguments
    ---------
    run : str
        A training for SB.
    corpus : str
        Its corpus.
    work_folder : str
        For recordings.
    output_folder : str
        For the figures.
    """
    from bench_separation_text import to_markdown, training_of
    from inference.separation import Separation

    work = pathlib.Path(work_folder).absolute() / "separation"
    work.mkdir(parents=True, exist_ok=True)
    separation = Separation.from_run(run)
    recordings = make_recordings(
        pathlib.Path(corpus), work, N_PAIRS, N_PIECES, SEED
    )
    table = measure_quality(separation, recordings)
    minute = recordings[0].mixture[: 60 * separation.sample_rate]
    large = untrained_run(work / "untrained")
    figures = {
        "time_trained": measure_time(separation, minute),
        "time_large": measure_time(Separation.from_run(large), minute),
        "memory_trained": measure_memory(run, work, 3600 * HOURS),
        "memory_large": measure_memory(large, work, LARGE_SECONDS),
        "window_seconds": separation.windows.window / separation.sample_rate,
        "overlap_seconds": separation.windows.overlap / separation.sample_rate,
        "training": training_of(pathlib.Path(run)),
    }
    figures["commit"], figures["machine"] = where()
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    table.round(3).to_csv(output / "recordings.csv", index=False)
    text = json.dumps(figures, indent=1) + "\n"
    (output / "separation.json").write_text(text, encoding="utf-8")
    text = to_markdown(table, figures, HOURS, LARGE_SECONDS)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
