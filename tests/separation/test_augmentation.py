"""Augmentation of a user draws by seed, epoch and ID alone."""

import random

import numpy as np
import pytest
import torch
from checkpoints.random_state import SeededDataset
from mixtures import Mixer
from promises import AUGMENTATION

from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset


def draw_all(name):
    """Of every generator, and whom for."""
    return name, random.random(), np.random.rand(), torch.rand(1).item()


def mixer_of(seed=1):
    """Holds seed and epoch."""
    return Mixer("ES", ["SER"], seed=seed, sample_rate=8000)


def dataset_of(mixer, ids):
    """A dataset whose pipeline has a mixer; what it reads is not asked for."""
    row = dict.fromkeys(Mixer.takes)
    dataset = SeededDataset(dict.fromkeys(ids, row))
    dataset.add_dynamic_item(mixer, mixer.takes, mixer.provides)
    return dataset


def epochs(mixer, workers=0, persistent=False, skip=0, seeded=True):
    """Draws for each of 8 items in 2 epochs, the first epoch from skip on."""
    dataset = dataset_of(mixer, map(str, range(8)))
    if not seeded:
        dataset.__class__ = DynamicItemDataset
    dataset.add_dynamic_item(draw_all, "id", "drawn")
    dataset.set_output_keys(["drawn"])
    loader = SaveableDataLoader(
        dataset,
        collate_fn=lambda items: items[0]["drawn"],
        num_workers=workers,
        persistent_workers=persistent,
        generator=torch.Generator().manual_seed(1),
    )
    loader._speechbrain_recovery_skip_to = skip or None
    drawn = []
    for epoch in (1, 2):
        mixer.set_epoch(epoch)
        drawn.append(list(loader))
    return drawn


@pytest.mark.promise(AUGMENTATION)
@pytest.mark.parametrize("workers, persistent", [(2, False), (2, True)])
@pytest.mark.parametrize("skip", [0, 3])
def test_workers_and_resumes_change_no_draw(workers, persistent, skip):
    expected = epochs(mixer_of())
    drawn = epochs(mixer_of(), workers, persistent, skip)
    assert drawn == [expected[0][skip:], expected[1]]


@pytest.mark.promise(AUGMENTATION, control=True)
@pytest.mark.parametrize("workers, skip", [(0, 3), (2, 0), (2, 3)])
def test_without_seeds_draws_differ(workers, skip):
    for reseed in (random.seed, np.random.seed, torch.manual_seed):
        reseed(1)
    expected = epochs(mixer_of(), seeded=False)
    drawn = epochs(mixer_of(), workers, skip=skip, seeded=False)
    assert drawn != [expected[0][skip:], expected[1]]


def test_draws_differ_between_items_epochs_and_seeds():
    drawn = sum(epochs(mixer_of()) + epochs(mixer_of(seed=2)), [])
    for generator in range(1, 4):
        assert len({draws[generator] for draws in drawn}) == 32


@pytest.mark.promise(AUGMENTATION)
def test_generators_are_put_back():
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = draw_all("model")
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    epochs(mixer_of())
    assert draw_all("model") == expected


def test_generators_are_put_back_after_an_error():
    def fail(name):
        """Of a file that cannot be read."""
        draw_all(name)
        raise OSError

    dataset = dataset_of(mixer_of(), ["a"])
    dataset.add_dynamic_item(fail, "id", "drawn")
    dataset.set_output_keys(["drawn"])
    random.seed(1)
    expected = random.getstate()
    with pytest.raises(OSError):
        dataset[0]
    assert random.getstate() == expected


def test_a_pipeline_without_a_mixer_is_an_error():
    dataset = SeededDataset({"a": {}})
    dataset.add_dynamic_item(draw_all, "id", "drawn")
    dataset.set_output_keys(["drawn"])
    with pytest.raises(ValueError, match="expected a mixtures.Mixer"):
        dataset[0]


def test_a_rank_may_have_no_share_of_a_small_validation():
    dataset = dataset_of(mixer_of(), [])
    dataset.set_output_keys(["id", "save_audio", *Mixer.provides])
    assert len(dataset) == 0 and list(SaveableDataLoader(dataset)) == []
