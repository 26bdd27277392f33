"""Which mixtures and variants a dataset holds, their order, their audio."""

import csv
import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
import soundfile
import torch
from corpora import make_corpus
from mixtures import (
    EpochSampler,
    Mixer,
    all_gather_rows,
    load_mixtures,
    one_row_per_variant,
    pick_mixtures,
)
from prepare_polsess import prepare_polsess
from variants import FILE_COLUMNS, VARIANTS, default_variants

from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset

INDOOR = ["SER", "SR", "ER", "R"]
OUTDOOR = ["SE", "S", "E"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A function that loads mixtures of a corpus, by default for training."""
    folder = tmp_path_factory.mktemp("manifests")
    counts = {"train": (5, 3), "val": (1, 1), "test": (1, 1)}
    make_corpus(folder / "corpus", counts, seconds=0.2)
    prepare_polsess(folder / "corpus", folder / "save")

    def load(variants, split="train", sample_rate=8000, limit=None):
        place = folder / "save", split
        root = str(folder / "corpus")
        return load_mixtures(*place, variants, root, sample_rate, limit)

    return load


def test_mixtures_know_the_variants_they_have(prepared):
    mixtures = prepared(default_variants("SB"))
    assert list(mixtures) == sorted(mixtures) and len(mixtures) == 8
    for mixture_id, row in mixtures.items():
        letters = INDOOR if row["setting"] == "indoor" else OUTDOOR
        assert row["variants"] == [*letters, "C"]
        assert row["mixture_id"] == mixture_id
        assert row["mix_wav"].endswith(f"{mixture_id}.wav")
    outdoor = prepared(["E", "S"])
    assert {row["setting"] for row in outdoor.values()} == {"outdoor"}
    assert [row["variants"] for row in outdoor.values()] == [["S", "E"]] * 3
    picked = prepared(default_variants("SB"), limit=3)
    assert list(picked) == pick_mixtures(mixtures, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"split": "dev"}, "dev_SE.csv: expected a manifest, found none"),
        ({"variants": []}, "train variants: expected a list out of SER"),
        ({"limit": 0}, "n_train: expected a positive integer .*found 0"),
        ({"limit": True}, "n_train: expected a positive integer .*found True"),
        ({"sample_rate": 16000}, "16000 Hz, found 8000 Hz; run with"),
    ],
)
def test_what_cannot_be_loaded_is_named(prepared, arguments, message):
    with pytest.raises(ValueError, match=message):
        prepared(**{"variants": ["SE"], **arguments})


def write_manifest(folder, variant, rows):
    """Writes a manifest of dry mixtures: (ID, file of the mixture, rate)."""
    with open(folder / f"test_{variant}.csv", "w", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["ID", "duration", "mix_wav", "sample_rate"])
        for mixture_id, name, rate in rows:
            writer.writerow([mixture_id, 1.0, f"$data_root/{name}", rate])


def test_variants_that_a_corpus_stores_have_their_own_rows(tmp_path, caplog):
    write_manifest(tmp_path, "S", [("b", "both", 8000)])
    rows = [("a", "other", 8000), ("b", "clean", 8000)]
    write_manifest(tmp_path, "C", rows)
    arguments = (tmp_path, "test", ["C", "S"], "/data", 8000)
    mixtures = load_mixtures(*arguments)
    assert list(mixtures) == ["a", "b"]
    found = one_row_per_variant(mixtures, ["b"])
    columns = "mix_wav", "mixture_id", "variants", "save_audio"
    assert {i: [row[c] for c in columns] for i, row in found.items()} == {
        "a_C": ["/data/other", "a", ["C"], False],
        "b_S": ["/data/both", "b", ["S"], True],
        "b_C": ["/data/clean", "b", ["C"], True],
    }
    write_manifest(tmp_path, "C", [("c", "other", 16000)])
    with pytest.raises(ValueError, match="found 8000 and 16000 Hz"):
        load_mixtures(*arguments)
    write_manifest(tmp_path, "E", [])
    with pytest.raises(ValueError, match="no test mixture has .* variants E;"):
        load_mixtures(tmp_path, "test", ["E"], "/data", 8000)
    assert "the corpus has no mixture with variant E" in caplog.text


def test_a_pick_keeps_the_proportions_and_is_in_every_larger_one():
    rows = {
        f"mixture{i}": {
            "setting": "indoor" if i < 85 else "outdoor",
            "scene_class": f"class{i * 7 % 4}",
        }
        for i in range(100)
    }
    shuffled = list(rows.items())
    random.Random(0).shuffle(shuffled)
    smaller = set()
    for limit in range(101):
        picked = pick_mixtures(rows, limit)
        assert picked == pick_mixtures(dict(shuffled), limit) == sorted(picked)
        assert len(picked) == limit and smaller <= set(picked)
        smaller = set(picked)
        for setting, share in (("indoor", 0.85), ("outdoor", 0.15)):
            found = [rows[i] for i in picked if rows[i]["setting"] == setting]
            assert abs(len(found) - share * limit) < 0.51
            for number in range(4):
                count = [r["scene_class"][-1] for r in found].count(str(number))
                assert abs(count - len(found) / 4) < 0.76
    assert pick_mixtures(rows, 1000) == pick_mixtures(rows, "all")
    assert pick_mixtures(rows, "all") == sorted(rows)
    # Not the first ones of the corpus.
    assert len(set(pick_mixtures(rows, 20)) - set(list(rows)[:20])) > 8


@pytest.mark.parametrize("limit", [-1, 2.5, "none", True, None])
def test_a_limit_that_is_not_a_number_is_refused(limit):
    with pytest.raises(ValueError, match="expected a number of mixtures"):
        pick_mixtures({}, limit)


def rows_of_rank(place, rank):
    """The share of one of two ranks, and what both of them collect."""
    os.environ["RANK"] = str(rank)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{place}",
        timeout=timedelta(seconds=60),
        rank=rank,
        world_size=2,
    )
    mixtures = {i: {"variants": ["S", "E"]} for i in "abc"}
    mixtures["d"] = {"variants": ["C"]}
    share = list(one_row_per_variant(mixtures))
    return share, all_gather_rows(share)


def test_ranks_share_the_rows_and_collect_them(tmp_path):
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, context) as pool:
        place = [tmp_path / "store"] * 2
        found = list(pool.map(rows_of_rank, place, range(2), timeout=60))
    even, odd = ["a_S", "b_S", "c_S", "d_C"], ["a_E", "b_E", "c_E"]
    assert found == [(even, even + odd), (odd, even + odd)]
    assert all_gather_rows(odd) == odd


def sampler(curriculum=None, seed=1, count=40):
    """A sampler of mixtures, indoor and outdoor in turn, and its mixer."""
    mixtures = {
        f"id{i}": {"variants": INDOOR if i % 2 else OUTDOOR}
        for i in range(count)
    }
    mixer = Mixer("ES", list(VARIANTS), seed, 8000, curriculum=curriculum)
    return EpochSampler(mixtures, mixer), mixer


def stages(*variants):
    """A curriculum whose stages begin with epochs 1, 2, ..."""
    return [{"epoch": i, "variants": v} for i, v in enumerate(variants, 1) if v]


def test_order_is_a_function_of_seed_epoch_and_id():
    orders = {}
    for seed, epoch in ((1, 1), (1, 2), (2, 1), (2, 2)):
        order, mixer = sampler(seed=seed)
        mixer.set_epoch(epoch)
        orders[seed, epoch] = tuple(order)
        assert sorted(order) == list(range(40))
        assert tuple(order) == orders[seed, epoch]
    assert len(set(orders.values())) == 4
    # The place of a mixture in the corpus does not count.
    row = {"variants": ["R"]}
    ids = {f"id{i}": row for i in reversed(range(40))}
    order = EpochSampler(ids, Mixer("ES", ["R"], 1, 8000))
    assert tuple(39 - index for index in order) == orders[1, 1]


def test_mixtures_without_a_variant_wait_for_their_stage():
    order, mixer = sampler(stages(["R", "C"], [], ["R", "S"]))
    for epoch, count in ((1, 20), (2, 20), (3, 40)):
        mixer.set_epoch(epoch)
        assert len(order) == len(list(order)) == count


def test_processes_refuse_few_mixtures_and_stages_of_several_sizes(
    monkeypatch,
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    sampler(stages(["R", "S"]))
    sampler(stages(["R"]))
    for curriculum in (stages([], ["R"]), stages(["R"], ["R", "S"])):
        with pytest.raises(ValueError, match="as many in each stage"):
            sampler(curriculum)
    sampler(count=3)
    with pytest.raises(ValueError, match="2 of 2 .* more than ranks"):
        sampler(count=2)


def test_a_stage_without_any_mixture_is_refused():
    with pytest.raises(ValueError, match="from epoch 2 on, 0 of 40 training"):
        sampler(stages([], ["C"]))


def test_persistent_workers_follow_the_curriculum(prepared):
    """A plain attribute would repeat the variants of the first epoch."""
    curriculum = stages([], ["R", "S"], ["SER", "ER", "SE", "E"])
    mixtures = prepared(default_variants("ES"))
    arguments = "ES", default_variants("ES"), 1, 8000, 0.1, curriculum
    mixer, alone = Mixer(*arguments), Mixer(*arguments)
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
        alone.set_epoch(epoch)
        batches = {batch.mixture_id[0]: batch for batch in loader}
        assert len(batches) == 8
        for mixture_id, row in mixtures.items():
            variant, mixture, _ = alone(*(row[key] for key in Mixer.takes))
            assert batches[mixture_id].variant == [variant]
            found = batches[mixture_id].mix_sig.data[0]
            assert torch.equal(found, mixture)


INTEGERS = np.random.default_rng(1).integers(-32768, 32768, 1000, np.int16)
INTEGERS[:5] = [-32768, 32767, -1, 0, 1]
STEREO, INVALID = np.zeros((1000, 2)), np.full(1000, np.nan)


def write(path, form="WAV PCM_16", samples=INTEGERS, rate=8000, cut_bytes=0):
    """Writes a file, by default as the corpus has them."""
    file_format, subtype = form.split()
    soundfile.write(path, samples, rate, subtype, format=file_format)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut_bytes])


def read(path, samples=1000):
    """A crop of a file of which all signals of a dry mixture consist."""
    mixer = Mixer("EB", ["C"], 1, 8000, samples / 8000)
    files = [str(path)] * len(FILE_COLUMNS)
    return mixer("abc", "dry", ["C"], 1000 / 8000, *files)[1].numpy()


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "FLAC"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_samples_are_those_of_libsndfile(tmp_path, form, subtype):
    path = tmp_path / "file"
    write(path, f"{form} {subtype}")
    expected, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(read(path), expected)
    assert np.array_equal(expected * 32768, INTEGERS)
    windows = np.lib.stride_tricks.sliding_window_view(expected, 300)
    assert (windows == read(path, 300)).all(1).sum() == 1


@pytest.mark.parametrize(
    "changed, found",
    [
        ({"cut_bytes": 2}, "999 samples at"),
        ({"form": "FLAC PCM_16", "cut_bytes": 900}, "Failed to load audio"),
        ({"rate": 16000}, "1000 samples at 16000 Hz"),
        ({"samples": STEREO}, "1000 samples at 8000 Hz in 2 channel"),
        ({"samples": INVALID, "form": "WAV FLOAT"}, "10 of them NaN or inf"),
    ],
)
def test_a_file_that_was_changed_is_found_by_any_part(tmp_path, changed, found):
    path = tmp_path / "file.wav"
    write(path, **changed)
    expected = "expected 1000 samples at 8000 Hz in 1 channel"
    with pytest.raises(
        ValueError, match=f"mixture abc: {path}: {expected}.*, found .*{found}"
    ):
        read(path, 10)
