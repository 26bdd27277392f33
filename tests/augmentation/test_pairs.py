"""Batches of as many indoor as outdoor mixtures."""

import logging

import pandas as pd
import pytest
from augmentation.pairs import SettingPairSampler
from by_night import by_night
from corpora import make_corpus
from mixtures import Mixer
from prepare_polsess import VARIANT_SETTINGS
from promises import MODEL
from run_folders import both, equal, mixtures, trace

from speechbrain.dataio.sampler import DistributedSamplerWrapper

# 5 outdoor mixtures, of which an epoch takes 3.
COUNTS = {"train": (3, 5), "val": (1, 1), "test": (1, 1)}
OPTIONS = (
    "--batch_size=usual --grad_accumulation_factor=usual --kernel_size=usual "
    "--stride=usual --valid_variants=usual --test_variants=usual"
).split()
VARIANTS_OF = {"indoor": ["SER", "R"], "outdoor": ["SE", "S"]}


def sampler(indoor, outdoor, batch_size=2, seed=1, curriculum=None):
    """A sampler of so many mixtures, the indoor ones first, and its mixer."""
    settings = ["indoor"] * indoor + ["outdoor"] * outdoor
    mixtures = {
        f"id{i}": {"setting": setting, "variants": VARIANTS_OF[setting]}
        for i, setting in enumerate(settings)
    }
    variants = ["SER", "R", "SE", "S"]
    mixer = Mixer("ES", variants, seed, 8000, curriculum=curriculum)
    return SettingPairSampler(mixtures, mixer, batch_size), mixer


def test_each_batch_has_both_settings_and_each_mixture_comes_once():
    order = list(sampler(6, 6)[0])
    assert sorted(order) == list(range(12))
    assert all(a < 6 <= b for a, b in zip(order[::2], order[1::2]))


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = set()
    for seed in (1, 2):
        for epoch in (1, 2):
            pairs, mixer = sampler(20, 20, seed=seed)
            mixer.set_epoch(epoch)
            assert list(pairs) == list(pairs)
            orders.add(tuple(pairs))
    assert len(orders) == 4


def test_the_surplus_changes_and_is_said_once(caplog):
    caplog.set_level(logging.WARNING)
    pairs, mixer = sampler(4, 9)
    (record,) = caplog.records
    assert "4 indoor and 9 outdoor mixtures: an epoch takes 4" in record.message
    left_out = set()
    for epoch in range(1, 8):
        mixer.set_epoch(epoch)
        order = list(pairs)
        assert len(order) == len(pairs) == 8 and len(set(order)) == 8
        left_out |= set(range(4, 13)) - set(order)
    assert left_out == set(range(4, 13))


@pytest.mark.parametrize("ranks", [2, 3])
def test_each_rank_has_both_settings_in_turn(monkeypatch, ranks):
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    pairs, _ = sampler(7, 8)
    parts = [
        # As SpeechBrain wraps it.
        list(
            DistributedSamplerWrapper(
                pairs, num_replicas=ranks, rank=rank, shuffle=False
            )
        )
        for rank in range(ranks)
    ]
    assert len(set(sum(parts, []))) == len(pairs) == 2 * (7 - 7 % ranks)
    for part in parts:
        assert all(a < 7 <= b for a, b in zip(part[::2], part[1::2]))


@pytest.mark.parametrize("batch_size", [1, 3, 0, 2.0, None])
def test_an_odd_batch_is_refused(batch_size):
    with pytest.raises(ValueError, match="batch_size: expected an even number"):
        sampler(2, 2, batch_size)


def test_a_missing_setting_is_refused_with_its_epoch():
    with pytest.raises(ValueError, match="epoch 1 on.*found 3 indoor and 0"):
        sampler(3, 0)
    stages = [{"epoch": 4, "variants": ["S", "SE"]}]
    with pytest.raises(ValueError, match="epoch 4 on.*found 0 indoor and 3"):
        sampler(3, 3, curriculum=stages)


@pytest.fixture(scope="module")
def paper(server, once):
    """Trains by the YAML of the corpus paper."""
    corpus = once("pairs", lambda folder: make_corpus(folder, COUNTS))

    def run(folder, *options, **asked):
        asked = {"name": "klec2024.yaml", "data_folder": corpus, **asked}
        return server.run(folder, *OPTIONS, *options, **{"code": 0, **asked})

    return run


@pytest.fixture(scope="module")
def undisturbed(paper, once):
    """A training of 2 epochs with 3 batches each."""
    return once("paper", paper)


def settings(batch):
    """The settings of the mixtures of a batch, sorted."""
    return sorted(VARIANT_SETTINGS[v][0] for _, v in mixtures(batch)[1])


def test_batches_of_a_training_and_its_variants(undisturbed):
    batches = trace(undisturbed, "batch")
    assert list(map(settings, batches)) == 6 * [["indoor", "outdoor"]]
    taken = [
        {name for batch in epoch for name, _ in mixtures(batch)[1]}
        for epoch in (batches[:3], batches[3:])
    ]
    assert len(taken[0]) == len(taken[1]) == 6 and taken[0] != taken[1]
    scores = pd.read_csv(undisturbed / "test_scores.csv")
    assert set(scores["variant"]) == {"SER"}
    log = (undisturbed / "train_log.txt").read_text(encoding="utf-8")
    assert "valid SI-SDRi SE: " in log and "valid SI-SDRi SR: " not in log


@pytest.mark.promise(MODEL)
@pytest.mark.parametrize(
    "place, number, workers",
    [("fit_batch", 5, 2), *by_night(("fit_batch", 2, 0), ("fit_batch", 3, 1))],
)
def test_a_kill_changes_nothing(
    paper, undisturbed, tmp_path, place, number, workers
):
    folder, kill = tmp_path / "run", [(place, number, "SIGKILL")]
    paper(folder, code=-9, faults=kill, workers=workers)
    paper(folder, workers=workers)
    assert equal(folder, undisturbed)
    assert trace(folder, "batch")[-1] == trace(undisturbed, "batch")[-1]


@pytest.mark.nightly
def test_each_of_two_ranks_has_both_settings(paper, tmp_path):
    """Of 3 indoor mixtures an epoch takes 2, one of each rank."""
    launch = ["--standalone", "--nproc_per_node=2"]
    paper(tmp_path / "run", launch=launch)
    pairs = both(tmp_path / "run", "batch")
    assert len(pairs) == 2
    for pair in pairs:
        assert list(map(settings, pair)) == 2 * [["indoor", "outdoor"]]
