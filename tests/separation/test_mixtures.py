"""Which mixtures and variants a dataset holds, their order, their audio."""

import random

import numpy as np
import pytest
import soundfile
import torch
from corpora import make_corpus
from mixtures import (
    EpochSampler,
    Mixer,
    _read_signal,
    load_mixtures,
    one_row_per_variant,
    pick_mixtures,
)
from prepare_polsess import prepare_polsess
from variants import VARIANTS, default_variants

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
        (("train", []), "train variants: expected a list out of SER"),
        (("train", ["X"]), "train variants: 'X' is none of"),
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


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 10, 50, 99, 100, 1000])
def test_pick_keeps_the_proportions(limit):
    rows = corpus(70, 30)
    picked = pick_mixtures(rows, limit)
    assert len(picked) == len(set(picked)) == min(limit, 100)
    indoor = sum(rows[i]["setting"] == "indoor" for i in picked)
    assert abs(indoor - 0.7 * len(picked)) <= 1
    for setting, share in (("indoor", 0.7), ("outdoor", 0.3)):
        for number in range(4):
            row = {"setting": setting, "scene_class": f"class{number}"}
            count = sum(rows[i] == row for i in picked)
            assert abs(count - share * len(picked) / 4) <= 1.5


def test_pick_does_not_depend_on_row_order_and_is_nested():
    rows = corpus(61, 39)
    shuffled = list(rows.items())
    random.Random(0).shuffle(shuffled)
    smaller = set()
    for limit in range(1, 101):
        picked = pick_mixtures(rows, limit)
        assert picked == pick_mixtures(dict(shuffled), limit)
        assert smaller <= set(picked)
        smaller = set(picked)
    assert pick_mixtures(rows, "all") == sorted(rows)
    # Not the first ones of the corpus.
    assert pick_mixtures(rows, 20) != sorted(rows)[:20]


@pytest.mark.parametrize("limit", [-1, 2.5, "none", True, None])
def test_a_limit_that_is_not_a_number_is_refused(limit):
    with pytest.raises(ValueError, match="expected a number of mixtures"):
        pick_mixtures(corpus(1, 1), limit)


def test_saved_mixtures_are_marked_in_every_variant():
    mixtures = {i: {"variants": ["S", "E"]} for i in ("a", "b")}
    rows = one_row_per_variant(mixtures, ["b"])
    assert {i: row["save_audio"] for i, row in rows.items()} == {
        "a_S": False,
        "a_E": False,
        "b_S": True,
        "b_E": True,
    }


def test_ranks_share_the_rows(monkeypatch):
    mixtures = {i: {"variants": ["S", "E"]} for i in "abc"}
    whole = list(one_row_per_variant(mixtures))
    monkeypatch.setattr("mixtures.is_distributed_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 4)
    shares = []
    for rank in range(4):
        monkeypatch.setattr("mixtures.get_rank", lambda rank=rank: rank)
        shares.append(list(one_row_per_variant(mixtures)))
    assert shares == [whole[rank::4] for rank in range(4)]


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
    monkeypatch.setenv("WORLD_SIZE", "2")
    sampler([{"epoch": 1, "variants": ["R", "S"]}])
    sampler([{"epoch": 1, "variants": ["R"]}])
    for first in (1, 2):
        stages = [
            {"epoch": first, "variants": ["R"]},
            {"epoch": 3, "variants": ["R", "S"]},
        ]
        with pytest.raises(ValueError, match="as many in each stage"):
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
    with pytest.raises(
        ValueError, match="40 of 40 training mixtures .* more than ranks"
    ):
        sampler()


def test_a_stage_without_any_mixture_is_refused():
    with pytest.raises(
        ValueError, match="from epoch 2 on, 0 of 40 training mixtures"
    ):
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
            mixture_id: mixer._variant(mixture_id, row["variants"])
            for mixture_id, row in mixtures.items()
        }
        if epoch > 1:
            assert set(drawn.values()) <= set(stages[epoch - 2]["variants"])


FORMS = {
    "plain": ("WAV", "PCM_16"),
    "extensible": ("WAVEX", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "24 bit": ("WAV", "PCM_24"),
    "float": ("WAV", "FLOAT"),
    "8 bit": ("WAV", "PCM_U8"),
}


def written(path, form="plain"):
    """A file of 1000 samples, the greatest and smallest among them."""
    samples = np.random.default_rng(1).integers(-32768, 32768, 1000)
    samples[:5] = [-32768, 32767, -1, 0, 1]
    file_format, subtype = FORMS[form]
    samples = samples.astype(np.int16)
    soundfile.write(path, samples, 8000, format=file_format, subtype=subtype)
    return str(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("start, stop", [(0, 1000), (3, 500), (999, 1000)])
def test_samples_are_those_of_libsndfile(tmp_path, form, start, stop):
    path = written(tmp_path / "file.wav", form)
    signal = _read_signal("abc", path, 8000, 1000, start, stop)
    expected, _ = soundfile.read(path, dtype="float32")
    assert signal.dtype == torch.float32
    assert torch.equal(signal, torch.from_numpy(expected[start:stop]))


def test_16_bit_samples_are_exact(tmp_path):
    path = written(tmp_path / "file.wav")
    integers, _ = soundfile.read(path, dtype="int16")
    signal = _read_signal("abc", path, 8000, 1000, 0, 1000)
    assert np.array_equal(signal.numpy() * 32768, integers)


@pytest.mark.parametrize("cut", [2, 43, 900, 2000])
def test_a_cut_file_is_found_though_the_part_is_whole(tmp_path, cut):
    path = tmp_path / "file.wav"
    written(path)
    path.write_bytes(path.read_bytes()[:-cut])
    message = "mixture abc: .*file.wav: expected 1000 samples at 8000 Hz"
    with pytest.raises(ValueError, match=message):
        _read_signal("abc", str(path), 8000, 1000, 0, 10)


@pytest.mark.parametrize(
    "samples, rate, found",
    [
        (np.zeros((1000, 2)), 8000, "in 2 channel"),
        (np.zeros(1000), 16000, "at 16000 Hz"),
        (np.full(1000, np.nan), 8000, "10 of them NaN or infinite"),
    ],
)
def test_a_file_that_was_changed_is_refused(tmp_path, samples, rate, found):
    path = str(tmp_path / "file.wav")
    soundfile.write(path, samples, rate, subtype="FLOAT")
    with pytest.raises(ValueError, match=found):
        _read_signal("abc", path, 8000, 1000, 0, 10)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="/none.wav: .*found no such file"):
        _read_signal("abc", str(tmp_path / "none.wav"), 8000, 1000, 0, 10)
