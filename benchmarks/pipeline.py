"""Mixtures a second that are read, mixed and put into batches.

> python benchmarks/pipeline.py bench results/pipeline

It takes the training data of train.py from this process alone and from
DataLoaders whose workers have been started. Round 0, which reads the files into
memory, is left out. The augmentations are those of the YAML, at their most: each
mixture is remixed, each speaker has another speed.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import time

import torch
from common import load_data, make_corpus, parse, spread_table, write_results

BATCH_SIZE = 4
TASKS = ("ES", "SB")
SEGMENT_SECONDS = 3.8  # the fastest speech needs 4 s for it
REMIX = {"remix_probability": 1.0}
SPEEDS = {"speeds": [0.95, 1.05]}
REST = {"gain_db": 3.0, "flip_probability": 0.5}
AUGMENTATIONS = {
    "none": {},
    "remix": REMIX,
    "speeds": SPEEDS,
    "all": {**REMIX, **SPEEDS, **REST},
}


def epoch_seconds(dataset, sampler, workers):
    """Seconds of an epoch.

    Arguments
    ---------
    dataset : DynamicItemDataset
        With the pipeline that reads and mixes.
    sampler : mixtures.EpochSampler
        Order of the mixtures.
    workers : int
        Workers of the DataLoader; -1 for no DataLoader.

    Returns
    -------
    float
        In seconds.
    """
    from speechbrain.dataio.batch import PaddedBatch
    from speechbrain.dataio.dataloader import make_dataloader

    if workers < 0:
        start = time.perf_counter()
        order = list(sampler)
        for first in range(0, len(order), BATCH_SIZE):
            PaddedBatch([dataset[i] for i in order[first : first + BATCH_SIZE]])
        return time.perf_counter() - start
    loader = make_dataloader(
        dataset,
        batch_size=BATCH_SIZE,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    for _ in range(2):  # the first pass starts the workers
        start = time.perf_counter()
        for _ in loader:
            pass
        seconds = time.perf_counter() - start
    return seconds


def main():
    """Measures and writes."""
    from mixtures import EpochSampler

    options = parse(
        __doc__,
        "work_folder output_folder",
        mixtures=300,
        rounds=5,
        workers=[-1, 0, 1, 2, 4],
    )
    torch.set_num_threads(1)
    corpus = options.work_folder / f"pipeline_{options.mixtures}/PolSESS"
    make_corpus(corpus, n_train=options.mixtures)
    loaded = {
        (task, name): load_data(
            corpus,
            "train",
            task=task,
            segment_seconds=SEGMENT_SECONDS,
            **overrides,
        )
        for task in TASKS
        for name, overrides in AUGMENTATIONS.items()
    }
    rows = []
    for number, workers, (task, name) in itertools.product(
        range(options.rounds + 1), options.workers, loaded
    ):
        dataset, hparams = loaded[task, name]
        mixer = hparams["train_mixer"]
        mixer.set_epoch(number + 1)
        sampler = EpochSampler(dataset.data, mixer)
        seconds = epoch_seconds(dataset, sampler, workers)
        case = {"round": number, "task": task, "augmentation": name}
        case["workers"] = workers
        rows.append({**case, "mixtures_per_second": len(dataset) / seconds})
        print(rows[-1], flush=True)
    rows = [row for row in rows if row["round"] > 0]
    text = (
        f"{options.mixtures} mixtures of 4 s at 8 kHz, {SEGMENT_SECONDS} s of "
        f"each with its references, in batches of {BATCH_SIZE}; median (range) "
        f"of {options.rounds} rounds. "
        "Workers: -1 is this process without a DataLoader."
    )
    table = spread_table(
        rows, ["task", "augmentation", "workers"], mixtures_per_second=0
    )
    title = "Data: mixtures a second"
    write_results(options.output_folder, title, [table, text], rows)


if __name__ == "__main__":
    main()
