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


def seed_all():
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(1)


def dataset_of(drawn, seed=1, ids="01234567", kind=SeededDataset):
    """A dataset with a mixer, which is not asked, and a user's function."""
    mixer = Mixer("ES", ["SER"], seed=seed, sample_rate=8000)
    dataset = kind(dict.fromkeys(ids, dict.fromkeys(Mixer.takes)))
    dataset.add_dynamic_item(mixer, mixer.takes, mixer.provides)
    dataset.add_dynamic_item(drawn, "id", "drawn")
    dataset.set_output_keys(["drawn"])
    return dataset, mixer


def epochs(seed=1, kind=SeededDataset, workers=0, persistent=False, skip=0):
    """Draws for each of 8 items in 2 epochs, the first epoch from skip on."""
    dataset, mixer = dataset_of(draw_all, seed, kind=kind)
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
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("skip", [0, 3])
def test_workers_and_resumes_change_no_draw(persistent, skip):
    expected = epochs()
    drawn = epochs(workers=2, persistent=persistent, skip=skip)
    assert drawn == [expected[0][skip:], expected[1]]


@pytest.mark.promise(AUGMENTATION, control=True)
@pytest.mark.parametrize("workers, skip", [(0, 3), (2, 0), (2, 3)])
def test_without_seeds_draws_differ(workers, skip):
    seed_all()
    expected = epochs(kind=DynamicItemDataset)
    drawn = epochs(kind=DynamicItemDataset, workers=workers, skip=skip)
    assert drawn != [expected[0][skip:], expected[1]]


def test_draws_differ_between_items_epochs_and_seeds():
    drawn = sum(epochs() + epochs(seed=2), [])
    for generator in range(1, 4):
        assert len({draws[generator] for draws in drawn}) == 32


@pytest.mark.promise(AUGMENTATION)
@pytest.mark.parametrize("fails", [False, True])
def test_generators_are_put_back(fails):
    def drawn(name):
        """Of a file that perhaps cannot be read."""
        return 1 / (not fails) and draw_all(name)

    seed_all()
    expected = draw_all("model")
    seed_all()
    dataset, _ = dataset_of(drawn)
    try:
        assert dataset[0]["drawn"] != expected
    except ZeroDivisionError:
        assert fails
    assert draw_all("model") == expected


def test_a_pipeline_without_a_mixer_is_an_error():
    dataset = SeededDataset({"a": {}})
    dataset.add_dynamic_item(draw_all, "id", "drawn")
    dataset.set_output_keys(["drawn"])
    with pytest.raises(ValueError, match="expected a mixtures.Mixer"):
        dataset[0]


def test_a_rank_may_have_no_share_of_a_small_validation():
    dataset, _ = dataset_of(draw_all, ids=[])
    dataset.set_output_keys(["id", "save_audio", *Mixer.provides])
    assert len(dataset) == 0 and list(SaveableDataLoader(dataset)) == []
