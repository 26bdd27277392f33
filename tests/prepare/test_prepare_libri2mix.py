"""Libri2Mix is prepared as it is stored."""

import itertools
import logging
import shutil

import numpy as np
import pytest
import soundfile
import torch
from corpora import read_all, read_csv
from libri2mix import (
    list_path,
    make_libri2mix,
    mixture_id,
    samples_of,
    small_corpus,
    tones,
    write_list,
)
from mixtures import Mixer, load_mixtures, one_row_per_variant
from prepare_libri2mix import prepare_libri2mix
from prepare_polsess import MANIFEST_COLUMNS, data_root
from variants import VARIANTS


@pytest.fixture
def corpus(tmp_path):
    """Of three mixtures; its wav8k/min."""
    return small_corpus(tmp_path)


def prepare(corpus, **options):
    """Prepares a corpus; returns the folder of the manifests."""
    save_folder = corpus.parents[2] / "save"
    prepare_libri2mix(corpus.parents[1], save_folder, **options)
    return save_folder


def items_of(data_folder, save_folder, variants=VARIANTS):
    """<ID>_<variant> -> mixture and sources, as the data pipeline has them."""
    mixer = Mixer("SB", VARIANTS, seed=0, sample_rate=8000)
    rows = one_row_per_variant(
        load_mixtures(
            save_folder, "test", variants, data_root(data_folder), 8000
        )
    )
    items = {}
    for name, row in rows.items():
        row["duration"] = float(row["duration"])
        items[name] = mixer(*(row[column] for column in Mixer.takes))
    return items


def test_both_kinds_are_read_as_they_are_stored(corpus):
    # mix_clean differs from mix_both - noise by more than rounding.
    path = corpus / f"test/mix_clean/{mixture_id(1)}.wav"
    soundfile.write(path, 0.999 * samples_of(corpus, "mix_clean", 1), 8000)
    items = items_of(corpus.parents[1], prepare(corpus))
    assert len(items) == 6
    for number, (variant, kind) in itertools.product(
        range(3), (("C", "mix_clean"), ("S", "mix_both"))
    ):
        found, mixture, sources = items[f"{mixture_id(number)}_{variant}"]
        assert found == variant
        assert np.array_equal(mixture, samples_of(corpus, kind, number))
        for column, speaker in enumerate(("s1", "s2")):
            expected = samples_of(corpus, speaker, number)
            assert np.array_equal(sources[:, column], expected)


def test_manifests_are_sorted_and_the_same_when_made_twice(corpus, tmp_path):
    first = read_all(prepare(corpus))
    rows = read_csv(tmp_path / "save/test_S.csv")
    assert list(rows[0]) == list(MANIFEST_COLUMNS)
    assert [row["ID"] for row in rows] == sorted(map(mixture_id, range(3)))
    assert float(rows[1]["duration"]) == 4009 / 8000
    assert (rows[0]["speaker1"], rows[0]["speaker2"]) == ("100", "200")
    assert {row["setting"] for row in rows} == {"dry"}
    expected = f"$data_root/wav8k/min/test/mix_both/{mixture_id(0)}.wav"
    assert rows[0]["mix_wav"] == expected
    shutil.rmtree(tmp_path / "save")
    assert read_all(prepare(corpus)) == first
    # The folder that holds Libri2Mix does as well.
    prepare_libri2mix(tmp_path, tmp_path / "above")
    items = items_of(tmp_path, tmp_path / "above")
    below = items_of(corpus.parents[1], tmp_path / "save")
    assert all(torch.equal(items[n][1], below[n][1]) for n in below)


def test_manifests_are_those_of_the_corpus_now(corpus):
    save_folder = prepare(corpus)
    write_list(
        corpus, "mix_clean", read_csv(list_path(corpus, "mix_clean"))[1:]
    )
    assert len(read_csv(prepare(corpus) / "test_C.csv")) == 2
    (save_folder / "test_C.csv").unlink()
    prepare(corpus, skip_prep=True)
    assert not (save_folder / "test_C.csv").exists()


@pytest.mark.parametrize(
    "type_, variant, other", [("mix_clean", "C", "S"), ("mix_both", "S", "C")]
)
def test_one_kind_is_enough_and_a_line_says_so(
    tmp_path, caplog, type_, variant, other
):
    caplog.set_level(logging.INFO)
    corpus = make_libri2mix(tmp_path / "Libri2Mix", [tones(0)], (type_,))
    save_folder = prepare(corpus)
    lines = [line for line in caplog.messages if "is not tested" in line]
    assert len(lines) == 1 and f": {other} is not tested" in lines[0]
    assert read_csv(save_folder / f"test_{other}.csv") == []
    items = items_of(corpus.parents[1], save_folder)
    assert list(items) == [f"{mixture_id(0)}_{variant}"]


def test_the_corpus_stays_as_it_is(corpus):
    def state():
        """All that is there, with its time of change."""
        paths = sorted(corpus.parents[1].rglob("*"))
        return [(path, path.stat().st_mtime_ns) for path in paths]

    before = state()
    prepare(corpus)
    assert state() == before


def test_a_repeated_row_counts_once(corpus):
    rows = read_csv(list_path(corpus, "mix_clean"))
    write_list(corpus, "mix_clean", [*rows, rows[0]])
    assert len(read_csv(prepare(corpus) / "test_C.csv")) == 3


def test_nothing_is_trained(corpus):
    with pytest.raises(ValueError, match="prepared for tests alone"):
        prepare(corpus, splits=("train", "valid", "test"))
