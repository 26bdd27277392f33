"""A damaged Libri2Mix is refused, with what is wrong and what to do."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from prepare_libri2mix import prepare_libri2mix
from prepare_polsess import CorpusError
from tiny_corpus import read_csv
from tiny_libri2mix import (
    list_path,
    mixture_id,
    samples_of,
    small_corpus,
    write_list,
)


@pytest.fixture
def corpus(tmp_path):
    """Of three mixtures; its wav8k/min."""
    return small_corpus(tmp_path)


def prepare(corpus, **options):
    """Prepares a corpus; returns the folder of the manifests."""
    save_folder = corpus.parents[2] / "save"
    prepare_libri2mix(corpus.parents[1], save_folder, **options)
    return save_folder


def remove(folder, name=None):
    """An action that removes a folder of the corpus, or a file of it."""

    def act(corpus):
        """Damages a corpus."""
        path = corpus / folder
        shutil.rmtree(path) if name is None else (path / name).unlink()

    return act


def rewrite(kind, change, rate=8000):
    """An action that changes the samples of the second mixture."""

    def act(corpus):
        """Damages a corpus."""
        samples = change(samples_of(corpus, kind, 1))
        path = corpus / f"test/{kind}/{mixture_id(1)}.wav"
        soundfile.write(path, samples, rate, "PCM_16")

    return act


def edit(**cells):
    """An action that changes cells of the second row of the clean list."""

    def act(corpus):
        """Damages a corpus."""
        rows = read_csv(list_path(corpus, "mix_clean"))
        rows[1].update(cells)
        write_list(corpus, "mix_clean", rows)

    return act


def everywhere(rate):
    """An action that gives all files another rate."""

    def act(corpus):
        """Damages a corpus."""
        for path in corpus.glob("test/*/*.wav"):
            soundfile.write(path, soundfile.read(path)[0], rate, "PCM_16")

    return act


def drop_column(corpus):
    """An action that takes a column out of the clean list."""
    path = list_path(corpus, "mix_clean")
    table = pd.read_csv(path).drop(columns="length")
    table.to_csv(path, index=False)


CLEAN_ROW = "wav8k/min/metadata/mixture_test_mix_clean.csv row 3: mixture "
ROW = rf"{CLEAN_ROW}{mixture_id(1)}: .*"
FILE = f"{mixture_id(1)}.wav: "
PROBLEMS = {
    "no list": (
        remove("metadata", "mixture_test_mix_clean.csv"),
        r"mixture_test_mix_clean.csv: expected the list .* copy the folder",
    ),
    "no kind": (
        lambda corpus: [
            remove(f)(corpus)
            for f in ("metadata", "test/mix_clean", "test/mix_both")
        ],
        "expected test/mix_clean or test/mix_both .* generate it with",
    ),
    "no corpus": (
        lambda corpus: corpus.rename(corpus.with_name("max")),
        "expected wav8k/min or Libri2Mix/wav8k/min in it, found neither",
    ),
    "no file": (
        remove("test/s2", f"{mixture_id(1)}.wav"),
        rf"{ROW}test/s2/{FILE}expected a file, found none",
    ),
    "no folder of mixtures": (
        remove("test/mix_clean"),
        rf"missing file: 3\n(.*\n)*.*{ROW}expected a file, found none",
    ),
    "another rate": (
        rewrite("mix_clean", lambda x: x, 16000),
        rf"{ROW}{FILE}expected 8000 Hz as in most files, found 16000",
    ),
    "another rate of all": (
        everywhere(16000),
        rf"{ROW}{FILE}expected 8000 Hz, found 16000",
    ),
    "another length": (
        rewrite("s1", lambda x: x[:-5]),
        rf"{ROW}test/s1/{FILE}expected 4009 samples .* found 4004",
    ),
    "another length than the list says": (
        edit(length="4010.0"),
        rf"{ROW}{FILE}expected 4010 samples, as its row says, found 4009",
    ),
    "two channels": (
        rewrite("s1", lambda x: np.stack([x, x], 1)),
        rf"{ROW}test/s1/{FILE}expected 1 channel, found 2",
    ),
    "not the sum": (
        rewrite("s1", lambda x: -x),
        rf"{ROW}mix_clean/{FILE}expected residue below -40 dB",
    ),
    "no length": (
        edit(length="long"),
        rf"{ROW}expected a number of samples as length, found long",
    ),
    "a path as ID": (
        edit(mixture_ID="../../secret"),
        "expected a plain file name as ID, found ../../secret",
    ),
    "no column": (
        drop_column,
        "expected the columns .* found no column length",
    ),
    "Libri3Mix": (
        lambda corpus: [
            write_list(corpus, "mix_clean", [{**row, "source_3_path": "x"}])
            for row in read_csv(list_path(corpus, "mix_clean"))
        ],
        "found three sources, as in Libri3Mix",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_problems_name_file_and_row_and_what_to_do(corpus, problem):
    act, message = PROBLEMS[problem]
    act(corpus)
    with pytest.raises(CorpusError, match=message) as caught:
        prepare(corpus)
    advice = "What to do|copy the folder|generate it|give the folder"
    assert any(word in str(caught.value) for word in advice.split("|"))


def test_bad_rows_can_be_left_out(corpus):
    rewrite("mix_clean", lambda x: x[:-1])(corpus)
    save_folder = prepare(corpus, on_bad_rows="skip")
    left = [row["ID"] for row in read_csv(save_folder / "test_C.csv")]
    assert left == [mixture_id(0), mixture_id(2)]
    assert len(read_csv(save_folder / "test_S.csv")) == 3
    assert len(read_csv(save_folder / "excluded.csv")) == 1


def test_without_an_audit_the_list_is_believed(corpus):
    everywhere(16000)(corpus)
    rows = read_csv(prepare(corpus, audit="none") / "test_C.csv")
    assert float(rows[2]["duration"]) == 4018 / 8000
