"""Measures how many items a second the data pipeline makes.

> python tools/bench_data.py bench results/data

It makes a corpus of 4 s mixtures at 8 kHz, prepares and packs it, and takes
batches from the pipeline that training uses: from one process and from data
loaders, the files as released and packed, in the memory of the system (warm) or
not (cold). The ways to read take turns. A file is made cold by advice to the
system, which not every file system heeds.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import time

import pandas as pd
import torch
from bench_data_stages import time_stages
from bench_data_text import to_markdown
from hyperpyyaml import load_hyperpyyaml
from readme_section import ROOT

N_MIXTURES = 300
SEED = 1234
ROUNDS = 5
TASKS = ("SB", "ES")
WORKERS = (0, 1, 2, 4)
WAYS = ("released", "packed", "audio_io")
TO_MAKE_COLD = hasattr(os, "posix_fadvise")


def make_corpus(work_folder):
    """A corpus and, prepared of it, manifests and packed files."""
    from prepare_polsess import prepare_polsess

    corpus = work_folder / "PolSESS"
    script = ROOT / "recipes/PolSESS/simulate/make_corpus.py"
    options = {
        "output_folder": corpus,
        "n_train": N_MIXTURES,
        "n_val": 1,
        "n_test": 1,
        "seed": SEED,
    }
    options = [f"--{name}={value}" for name, value in options.items()]
    subprocess.run([sys.executable, script, *options], check=True)
    prepare_polsess(
        corpus,
        work_folder / "save",
        ["train"],
        packed_folder=work_folder / "packed",
    )
    return corpus


def pipeline(corpus, work_folder, task, way):
    """The settings and the training data of a task, read in one of the ways."""
    from train import dataio_prep

    overrides = {
        "data_folder": str(corpus),
        "output_folder": str(work_folder / "run"),
        "save_folder": str(work_folder / "save"),
        "packed_folder": None,
        "task": task,
        "seed": SEED,
    }
    if way == "packed":
        overrides["packed_folder"] = str(work_folder / "packed")
    path = ROOT / "recipes/PolSESS/separation/hparams/convtasnet.yaml"
    with open(path, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    return hparams, dataio_prep(hparams, ("train",))["train"]


def read_by_audio_io(mixture_id, path, sample_rate, frames, start, stop):
    """What reads a file where the recipe's own way is not used."""
    from speechbrain.dataio import audio_io

    signal, _ = audio_io.load(path, frame_offset=start, num_frames=stop - start)
    return signal.squeeze(0)


@contextlib.contextmanager
def reading(way):
    """Has the files read in one of the ways."""
    import mixtures as mixer

    own = mixer.read_signal
    if way == "audio_io":
        mixer.read_signal = read_by_audio_io
    try:
        yield
    finally:
        mixer.read_signal = own


def make_cold(folder):
    """Asks the system to forget the content of all files of a folder."""
    os.sync()  # what is not on the disk yet cannot be forgotten
    for path in folder.rglob("*.wav"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def make_warm(folder):
    """Reads all files of a folder, so that the system keeps their content."""
    for path in folder.rglob("*.wav"):
        path.read_bytes()


def batches(hparams, dataset):
    """The batches of an epoch, made by this process without a data loader."""
    options = hparams["train_loader_kwargs"]
    order = list(options["sampler"])
    size = hparams["batch_size"]
    for start in range(0, len(order), size):
        items = [dataset[index] for index in order[start : start + size]]
        yield options["collate_fn"](items)


def loader(hparams, dataset, workers):
    """A data loader as in training, whose workers have been started."""
    from speechbrain.dataio.dataloader import make_dataloader

    options = {**hparams["train_loader_kwargs"], "num_workers": workers}
    made = make_dataloader(dataset, persistent_workers=workers > 0, **options)
    for _ in made:
        pass
    return made


def time_epoch(hparams, dataset, epoch, workers, to_forget=None):
    """Items a second, and items a second of this process's CPU time."""
    hparams["train_mixer"].set_epoch(epoch)
    if workers is None:
        made = batches(hparams, dataset)
    else:
        made = loader(hparams, dataset, workers)
    if to_forget is not None:  # after the workers have been started
        make_cold(to_forget)
    start, cpu_start = time.perf_counter(), time.process_time()
    n_items = sum(map(len, made))
    seconds = time.perf_counter() - start
    cpu_s = time.process_time() - cpu_start
    return {
        "items_s": n_items / seconds,
        "items_cpu_s": None if workers else n_items / cpu_s,
    }


def measure(work_folder):
    """Rows of times, a table, and rows of the stages of an item."""
    corpus = make_corpus(work_folder)
    pipelines = {
        (task, way): pipeline(corpus, work_folder, task, way)
        for task, way in itertools.product(TASKS, WAYS)
    }
    # Round 0 warms up and is left out.
    rows, stages = [], []
    for number in range(ROUNDS + 1):
        for (task, way), of_way in pipelines.items():
            folder = work_folder / "packed" if way == "packed" else corpus
            # An epoch reads some of the files, the next one others.
            make_warm(folder)
            case = {"task": task, "files": way, "round": number}
            of_way[0]["train_mixer"].set_epoch(number + 1)
            with reading(way):
                of_case = time_stages(of_way[0], lambda: batches(*of_way))
            stages.append({**case, **of_case})
            cases = [("warm", None)]
            if way != "audio_io":
                cases += [("warm", workers) for workers in WORKERS]
                cases += [("cold", None), ("cold", 1)] * TO_MAKE_COLD
            for cache, workers in cases:
                to_forget = folder if cache == "cold" else None
                with reading(way):
                    times = time_epoch(*of_way, number + 1, workers, to_forget)
                named = "none" if workers is None else workers
                rows.append({**case, "cache": cache, "workers": named, **times})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table = table[table["round"] > 0]
    return table, [row for row in stages if row["round"]]


def main(work_folder, output_folder):
    """Measures, and writes README.md and data.csv.

    Arguments
    ---------
    work_folder : str
        For the corpus, on the disk to be measured.
    output_folder : str
        For the figures.
    """
    torch.set_num_threads(1)
    table, stages = measure(pathlib.Path(work_folder).absolute() / "data")
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    table.round(1).to_csv(output / "data.csv", index=False)
    about = {"n": N_MIXTURES, "seed": SEED, "rounds": ROUNDS}
    text = to_markdown(table, stages, about, TO_MAKE_COLD)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
