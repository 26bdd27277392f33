"""A long training takes up no more than a short one."""

import json
from pathlib import Path
from statistics import median

import pytest
from corpora import make_corpus
from promises import FLAT, MEMORY

MIXTURES = 60
SAMPLE = ("fit_batch", 0, "sample")


@pytest.fixture(scope="module")
def soak(server, once):
    """Samples what a training takes up every 10 steps; list of dict."""
    counts = {"train": (MIXTURES // 2,) * 2, "val": (1, 1), "test": (1, 1)}
    corpus = once(
        "PolSESS_60", lambda folder: make_corpus(folder, counts, seconds=0.5)
    )

    def train(folder, steps, workers, faults=(SAMPLE,)):
        epochs = -(-steps // MIXTURES)
        server.succeed(
            folder,
            f"--number_of_epochs={epochs}",
            "--grad_accumulation_factor=1",
            "--ckpt_interval_steps=5",
            "--segment_seconds=0.25",
            data_folder=corpus,
            faults=faults,
            workers=workers,
            trace=None,
        )
        lines = Path(f"{folder}.samples").read_text().splitlines()
        samples = [json.loads(line) for line in lines]
        assert len(samples) == epochs * MIXTURES // 10
        return samples

    return train


def growth(samples, key):
    """The last fifth relative to the second one, by their medians."""
    fifth = len(samples) // 5
    values = [sample[key] for sample in samples]
    return median(values[-fifth:]) / median(values[fifth : 2 * fifth])


def is_flat(samples):
    return (
        growth(samples, "descriptors") <= 1
        and growth(samples, "processes") <= 1
        and max(sample["checkpoints"] for sample in samples) <= 4
    )


@pytest.mark.promise(FLAT)
def test_300_steps_leave_nothing_open(soak, tmp_path):
    samples = soak(tmp_path / "run", 300, workers=1)
    assert is_flat(samples), samples


@pytest.mark.nightly
@pytest.mark.promise(FLAT)
@pytest.mark.promise(MEMORY)
def test_5000_steps_take_up_what_1000_do(soak, tmp_path):
    samples = soak(tmp_path / "run", 5000, workers=2)
    assert is_flat(samples), samples
    # Python's table of interned strings, among them the names of checkpoints,
    # grows once, by 4 of 514 MB.
    assert growth(samples, "kilobytes") <= 1.01, samples


@pytest.mark.nightly
@pytest.mark.promise(FLAT, control=True)
@pytest.mark.promise(MEMORY, control=True)
def test_a_leak_shows(soak, tmp_path):
    samples = soak(
        tmp_path / "run",
        300,
        workers=0,
        faults=(SAMPLE, ("fit_batch", 0, "leak")),
    )
    assert not is_flat(samples)
    assert growth(samples, "kilobytes") > 1.01
