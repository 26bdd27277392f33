"""Which mixtures and variants a dataset holds, and their order."""

import random

import pytest
from mixtures import (
    EpochSampler,
    load_mixtures,
    one_row_per_variant,
    stratified,
)
from mixtures import Mixer
from variants import VARIANTS, default_variants
from prepare_polsess import prepare_polsess
from tiny_corpus import make_corpus

from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DistributedSamplerWrapper

INDOOR = ["SER", "SR", "ER", "R"]
OUTDOOR = ["SE", "S", "E"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifests")
    counts = {"train": (5, 3), "val": (2, 1), "test": (1, 1)}
    make_corpus(folder / "corpus", counts, seconds=0.2)
    prepare_polsess(folder / "corpus", folder / "save")
    return folder


def load(prepared, split, variants, **keywords):
    arguments = {"sample_rate": 8000, **keywords}
    return load_mixtures(
        prepared / "save",
        split,
        variants,
        str(prepared / "corpus"),
        **arguments,
    )


def test_mixtures_know_the_variants_they_have(prepared):
    mixtures = load(prepared, "train", default_variants("SB"))
    assert list(mixtures) == sorted(mixtures) and len(mixtures) == 8
    for mixture_id, row in mixtures.items():
        letters = INDOOR if row["setting"] == "indoor" else OUTDOOR
        assert row["variants"] == [*letters, "C"]
        assert row["mixture_id"] == mixture_id
        assert row["mix_wav"].endswith(f"{mixture_id}.wav")


def test_only_mixtures_with_a_variant_in_use_are_loaded(prepared):
    mixtures = load(prepared, "train", ["S", "E"])
    assert len(mixtures) == 3
    assert all(row["variants"] == ["S", "E"] for row in mixtures.values())


def test_every_valid_variant_has_its_row(prepared):
    rows = one_row_per_variant(load(prepared, "valid", ["SER", "SE", "S"]))
    assert sorted(row["variants"][0] for row in rows.values()) == [
        "S",
        "SE",
        "SER",
        "SER",
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("dev", ["SE"]), "expected a manifest, found none"),
        (("train", []), "no train mixture has any of the variants"),
    ],
)
def test_missing_data_is_named(prepared, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(prepared, *arguments)


def test_sample_rate_is_checked(prepared):
    with pytest.raises(ValueError, match="16000 Hz, found 8000 Hz; run with"):
        load(prepared, "train", ["SE"], sample_rate=16000)


def corpus(indoor, outdoor, classes=4):
    """Rows of a made-up corpus."""
    return {
        f"mixture{i}": {
            "setting": "indoor" if i < indoor else "outdoor",
            "scene_class": f"class{(i * 7) % classes}",
        }
        for i in range(indoor + outdoor)
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 50, 99, 100])
def test_pick_keeps_the_proportions(limit):
    rows = corpus(70, 30)
    picked = stratified(rows, limit)
    assert len(picked) == len(set(picked)) == limit
    indoor = sum(rows[i]["setting"] == "indoor" for i in picked)
    assert abs(indoor - 0.7 * limit) <= 1
    for setting, share in (("indoor", 0.7), ("outdoor", 0.3)):
        for number in range(4):
            count = sum(
                rows[i] == {"setting": setting, "scene_class": f"class{number}"}
                for i in picked
            )
            assert abs(count - share * limit / 4) <= 1.5


def test_pick_does_not_depend_on_row_order_and_is_nested():
    rows = corpus(61, 39)
    shuffled = list(rows.items())
    random.Random(0).shuffle(shuffled)
    smaller = set()
    for limit in range(1, 101):
        picked = stratified(rows, limit)
        assert picked == stratified(dict(shuffled), limit)
        assert smaller <= set(picked)
        smaller = set(picked)
    assert stratified(rows, 1000) == sorted(rows)


def sampler(curriculum=None, seed=1):
    mixtures = {
        f"id{i}": {"variants": INDOOR if i % 2 else OUTDOOR} for i in range(40)
    }
    mixer = Mixer("ES", list(VARIANTS), seed, 8000, curriculum=curriculum)
    return EpochSampler(mixtures, mixer), mixer


def test_order_is_a_function_of_seed_and_epoch():
    orders = {}
    for seed in (1, 2):
        for epoch in (1, 2):
            order, mixer = sampler(seed=seed)
            mixer.set_epoch(epoch)
            orders[seed, epoch] = list(order)
            assert sorted(order) == list(range(40))
            assert list(order) == orders[seed, epoch]
    assert len({tuple(order) for order in orders.values()}) == 4


def test_mixtures_without_a_variant_wait_for_their_stage():
    stages = [
        {"epoch": 1, "variants": ["R"]},
        {"epoch": 3, "variants": ["R", "S"]},
    ]
    order, mixer = sampler(stages)
    for epoch, count in ((1, 20), (2, 20), (3, 40)):
        mixer.set_epoch(epoch)
        assert len(order) == len(list(order)) == count
    mixer.set_epoch(1)
    assert all(index % 2 for index in order)


def test_distributed_training_refuses_such_stages(monkeypatch):
    monkeypatch.setattr("manifests.is_distributed_initialized", lambda: True)
    sampler([{"epoch": 1, "variants": ["R", "S"]}])
    sampler([{"epoch": 1, "variants": ["R"]}])
    for first in (1, 2):
        stages = [
            {"epoch": first, "variants": ["R"]},
            {"epoch": 3, "variants": ["R", "S"]},
        ]
        with pytest.raises(ValueError, match="every stage must have a variant"):
            sampler(stages)


@pytest.mark.parametrize("stages", [None, [{"epoch": 1, "variants": ["R"]}]])
def test_processes_share_the_order_of_one(stages):
    whole, mixer = sampler(stages)
    parts = [
        DistributedSamplerWrapper(
            whole, num_replicas=2, rank=rank, shuffle=False
        )
        for rank in (0, 1)
    ]
    for epoch in (1, 2):
        mixer.set_epoch(epoch)
        order = list(whole)
        for rank, part in enumerate(parts):
            part.set_epoch(epoch)
            assert list(part) == order[rank::2]


def test_an_odd_number_takes_its_first_mixture_twice(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    whole, _ = sampler()
    parts = [
        DistributedSamplerWrapper(
            whole, num_replicas=3, rank=rank, shuffle=False
        )
        for rank in range(3)
    ]
    taken = [index for step in zip(*parts) for index in step]
    assert taken == [*whole, *list(whole)[:2]]
    monkeypatch.setenv("WORLD_SIZE", "40")
    with pytest.raises(ValueError, match="at least 41 are needed"):
        sampler()


def test_a_stage_without_any_mixture_is_refused():
    with pytest.raises(ValueError, match="from epoch 2 on no training mixture"):
        sampler([{"epoch": 2, "variants": ["C"]}])


def test_persistent_workers_follow_the_curriculum(prepared):
    """A plain attribute would repeat the variants of the first epoch."""
    stages = [
        {"epoch": 2, "variants": ["R", "S"]},
        {"epoch": 3, "variants": ["SER", "ER", "SE", "E"]},
    ]
    mixtures = load(prepared, "train", default_variants("ES"))
    mixer = Mixer("ES", default_variants("ES"), 1, 8000, 0.1, stages)
    dataset = DynamicItemDataset(mixtures)
    dataset.add_dynamic_item(mixer, Mixer.takes, Mixer.provides)
    dataset.set_output_keys(["mixture_id", "variant", "mix_sig"])
    loader = SaveableDataLoader(
        dataset,
        sampler=EpochSampler(mixtures, mixer),
        collate_fn=PaddedBatch,
        num_workers=2,
        persistent_workers=True,
    )
    for epoch in (1, 2, 3):
        mixer.set_epoch(epoch)
        drawn = {b.mixture_id[0]: b.variant[0] for b in loader}
        assert drawn == {
            mixture_id: mixer.variant(mixture_id, row["variants"])
            for mixture_id, row in mixtures.items()
        }
        if epoch > 1:
            assert set(drawn.values()) <= set(stages[epoch - 2]["variants"])
