"""A long training takes up no more than a short one."""

import json
from pathlib import Path
from statistics import median

import pytest
from corpora import make_corpus
from kill_runs import LOADERS
from promises import FLAT, MEMORY

MIXTURES = 60
SAMPLE = ("fit_batch", 0, "sample")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Noise and tones of half a second."""
    folder = tmp_path_factory.mktemp("corpus") / "PolSESS"
    counts = {"train": (MIXTURES // 2, MIXTURES // 2), "val": (1, 1)}
    make_corpus(folder, {**counts, "test": (1, 1)}, seconds=0.5)
    return folder


def soaked(server, corpus, folder, steps, loader, faults=(SAMPLE,)):
    """Samples the resources of a training every 10 steps; list of dict."""
    workers, options = LOADERS[loader]
    epochs = -(-steps // MIXTURES)
    server.succeed(
        folder,
        f"--data_folder={corpus}",
        f"--number_of_epochs={epochs}",
        "--grad_accumulation_factor=1",
        "--ckpt_interval_steps=5",
        "--segment_seconds=0.25",
        *options,
        faults=faults,
        workers=workers,
        traced=False,
    )
    lines = Path(f"{folder}.samples").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    assert len(samples) == epochs * MIXTURES // 10
    assert samples[-1]["epoch"] == epochs
    return samples


def growth(samples, key):
    """The last fifth relative to the second one, by their medians."""
    fifth = len(samples) // 5
    values = [sample[key] for sample in samples]
    return median(values[-fifth:]) / median(values[fifth : 2 * fifth])


def is_flat(samples):
    """Whether files, processes and checkpoints do not grow."""
    return (
        growth(samples, "descriptors") <= 1
        and growth(samples, "processes") <= 1
        and max(sample["checkpoints"] for sample in samples) <= 4
    )


@pytest.mark.promise(FLAT)
def test_300_steps_leave_nothing_open(server, corpus, tmp_path):
    samples = soaked(server, corpus, tmp_path / "run", 300, "workers")
    assert is_flat(samples), samples


@pytest.mark.nightly
@pytest.mark.promise(FLAT)
@pytest.mark.promise(MEMORY)
@pytest.mark.parametrize("loader", ["workers", "persistent"])
def test_5000_steps_take_up_what_1000_do(server, corpus, tmp_path, loader):
    samples = soaked(server, corpus, tmp_path / "run", 5000, loader)
    assert is_flat(samples), samples
    # Python's table of interned strings, among them the names of checkpoints,
    # grows once, by 4 of 514 MB.
    assert growth(samples, "kilobytes") <= 1.01, samples


@pytest.mark.nightly
@pytest.mark.promise(FLAT, control=True)
@pytest.mark.promise(MEMORY, control=True)
def test_a_leak_shows(server, corpus, tmp_path):
    faults = (SAMPLE, ("fit_batch", 0, "leak"))
    folder = tmp_path / "run"
    samples = soaked(server, corpus, folder, 300, "no_workers", faults)
    assert not is_flat(samples)
    assert growth(samples, "kilobytes") > 1.01
