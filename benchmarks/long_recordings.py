"""Separation of long recordings in windows: quality, time, memory.

> python benchmarks/long_recordings.py RUN CORPUS bench results/long_recordings

RUN is the output folder of a training for SB, CORPUS the simulated corpus of that
training. Test mixtures of the same two speakers are joined to long recordings.
Their mixtures are also separated one by one, each then brought into the order of
its references (oracle order).

Authors
 * The PolSESS recipe team 2026
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from common import (
    SEPARATION,
    make_corpus,
    markdown_table,
    parse,
    spread,
    write_results,
)

# Prints the peak of a process: that of the module resource includes the parent's.
PEAK = (
    "import os, re, runpy, sys; sys.argv = sys.argv[1:]\n"
    "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
    "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    "finally: print(re.search('VmHWM.*', open('/proc/self/status').read())[0])"
)


def speaker_pairs(table, number):
    """Pairs of test speakers, at first such that no speaker comes twice."""
    is_test = (table["role"] == "speech") & (table["subset"] == "test")
    speakers = sorted(set(table["speaker"][is_test]))
    half = len(speakers) // 2
    pairs = [*zip(speakers[:half], speakers[half:])]
    pairs += zip(speakers[::2], speakers[1::2])
    return list(dict.fromkeys(pairs))[:number]


def make_recording(corpus, work_folder, pair, pieces):
    """Joins mixtures of two speakers, simulated from the sources of a corpus.

    Arguments
    ---------
    corpus : Path
        A simulated corpus.
    work_folder : Path
        For a corpus of the two.
    pair : tuple of str
        The speakers.
    pieces : int
        Number of mixtures.

    Returns
    -------
    mixtures : torch.Tensor
        [piece, time]
    references : torch.Tensor
        Dry speech in the order of the pair, [piece, time, source].
    """
    table = pd.read_csv(corpus / "sources/sources.csv", keep_default_na=False)
    is_other = (table["role"] == "speech") & (table["subset"] == "test")
    rows = table[~is_other | table["speaker"].isin(pair)].copy()
    sources = corpus.absolute() / "sources"
    rows["filePath"] = [str(sources / path) for path in rows["filePath"]]
    folder = work_folder / "-".join(pair)
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_csv(folder / "sources.csv", index=False)
    make_corpus(
        folder / "PolSESS", n_test=pieces, sources=folder / "sources.csv"
    )
    test = folder / "PolSESS/test"
    (path,) = test.glob("corpus_*.csv")
    mixtures, references = [], []
    for row in pd.read_csv(path).to_dict("records"):
        speech = {}
        for number in (1, 2):
            original = row[f"speech{number}OryginalPath"].replace("\\", "/")
            file = test / "clean" / row[f"speaker{number}File"]
            speech[Path(original).parent.name] = read(file)
        if set(speech) == set(pair):
            mixtures.append(read(test / "mix" / row["mixFile"]))
            references.append(torch.stack([speech[x] for x in pair], -1))
    return torch.stack(mixtures), torch.stack(references)


def read(path):
    """A file, [time], float32."""
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def mean_si_sdr(estimates, references, oracle):
    """Mean SI-SDR of pieces and sources in dB.

    Arguments
    ---------
    estimates : torch.Tensor
        [piece, time, source]
    references : torch.Tensor
        [piece, time, source]
    oracle : bool
        True for the best order of each piece, False for the one order that is
        best for all pieces.

    Returns
    -------
    float
        In dB.
    """
    from losses import pairwise_si_sdr

    scores = pairwise_si_sdr(estimates, references)  # [piece, estimate, ref]
    orders = torch.stack([scores[:, [0, 1], [0, 1]], scores[:, [1, 0], [0, 1]]])
    means = orders.mean(-1)  # [order, piece]
    best = means.max(0).values if oracle else means[means.mean(1).argmax()]
    return best.mean().item()


def measure_quality(separation, mixtures, references):
    """SI-SDR of a recording as a whole and of its mixtures, in dB."""
    whole = torch.from_numpy(separation(mixtures.flatten()))
    whole = whole.reshape(references.shape)
    alone = torch.stack([torch.from_numpy(separation(x)) for x in mixtures])
    found = {
        "mixtures_oracle_db": mean_si_sdr(alone, references, True),
        "recording_db": mean_si_sdr(whole, references, False),
        "recording_oracle_db": mean_si_sdr(whole, references, True),
    }
    return {name: round(value, 2) for name, value in found.items()}


def measure_time(separation, mixture, rounds):
    """Seconds in one pass and in windows, in turn; the first round warms up."""
    one_pass, windows = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with torch.no_grad():
            separation.separator(mixture[None])
        middle = time.perf_counter()
        separation(mixture)
        one_pass.append(middle - start)
        windows.append(time.perf_counter() - middle)
    return one_pass[1:], windows[1:]


def peak_gib(run, work_folder, seconds):
    """Peak memory of separate_file.py for some seconds of noise, in GiB."""
    path = work_folder / f"noise_{seconds}.wav"
    generator = np.random.default_rng(0)
    with soundfile.SoundFile(str(path), "w", 8000, 1, "PCM_16") as file:
        for _ in range(round(seconds)):
            file.write(0.1 * generator.standard_normal(8000))
    script = SEPARATION / "separate_file.py"
    command = [sys.executable, "-c", PEAK, script, run, path, "--overwrite"]
    command += ["--output_folder", work_folder / "separated"]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True
    )
    path.unlink()
    return int(re.search(r"VmHWM:\s+(\d+)", done.stdout)[1]) / 2**20


def main():
    """Measures and writes."""
    from inference.separation import Separation

    options = parse(
        __doc__,
        "run corpus work_folder output_folder",
        recordings=6,
        pieces=32,
        rounds=5,
        hours=2.0,
    )
    work = options.work_folder / f"long_recordings_{options.pieces}"
    separation = Separation.from_run(options.run)
    table = pd.read_csv(options.corpus / "sources/sources.csv")
    rows = []
    for pair in speaker_pairs(table, options.recordings):
        made = make_recording(options.corpus, work, pair, options.pieces)
        found = measure_quality(separation, *made)
        rows.append({"speakers": " and ".join(pair), **found})
        print(rows[-1], flush=True)
    mixture = made[0].flatten()
    times = measure_time(separation, mixture, options.rounds)
    loss = [x["mixtures_oracle_db"] - x["recording_db"] for x in rows]
    peaks = [peak_gib(options.run, work, x) for x in (1, 3600 * options.hours)]
    text = (
        "SI-SDR in dB. Oracle order: each mixture takes its best order of "
        "sources, otherwise the recording has one. The recording loses "
        f"{spread(loss)} dB against its mixtures in oracle order. A recording of "
        f"{len(mixture) / separation.sample_rate:g} s takes {spread(times[0])} s "
        f"in one pass and {spread(times[1])} s in windows. {options.hours:g} "
        f"hours of noise take {peaks[1] - peaks[0]:.3f} GiB more than one second "
        "(separate_file.py)."
    )
    title = "Long recordings"
    write_results(
        options.output_folder, title, [markdown_table(rows), text], rows
    )


if __name__ == "__main__":
    main()
