"""A damaged Libri2Mix is refused, with what is wrong and what to do."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from corpora import read_csv
from libri2mix import (
    list_path,
    mixture_id,
    samples_of,
    small_corpus,
    write_list,
)
from prepare_libri2mix import prepare_libri2mix
from prepare_polsess import CorpusError


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


ROW = "mixture_test_mix_clean.csv row 3: "
FILE = f"{mixture_id(1)}.wav: expected "
NONE = f"{ROW}.*/test/%s/{FILE}.* found none"
RIGHT = "4009 samples at 8000 Hz, 1 channel, found "
PROBLEMS = {
    "no list": (
        remove("metadata", "mixture_test_mix_clean.csv"),
        "mixture_test_mix_clean.csv: expected .*No such file.*copy the folder",
    ),
    "no kind": (
        lambda corpus: [
            remove(f)(corpus)
            for f in ("metadata", "test/mix_clean", "test/mix_both")
        ],
        "no test/mix_clean and no mix_both\nWhat to do: ",
    ),
    "no corpus": (
        lambda corpus: corpus.rename(corpus.with_name("max")),
        "expected wav8k/min or Libri2Mix/wav8k/min in it, found neither",
    ),
    "no file": (remove("test/s2", f"{mixture_id(1)}.wav"), NONE % "s2"),
    "no folder of mixtures": (remove("test/mix_clean"), NONE % "mix_clean"),
    "no folder of a speaker": (remove("test/s1"), NONE % "s1"),
    "no folder of noise": (remove("test/noise"), "/test/noise/.*found none"),
    "another rate": (
        rewrite("mix_clean", lambda x: x, 16000),
        f"{ROW}.*{FILE}{RIGHT}4009 samples at 16000 Hz",
    ),
    "another rate of all": (
        everywhere(16000),
        "21 errors, such as\nmixture_test_mix_both.csv row 2: .*at 16000 Hz",
    ),
    "another length": (
        rewrite("s1", lambda x: x[:-5]),
        f"{ROW}.*test/s1/{FILE}{RIGHT}4004 samples",
    ),
    "another length than the list says": (
        edit(length="4010.0"),
        f"{ROW}.*{FILE}4010 samples at .* found 4009 samples",
    ),
    "two channels": (
        rewrite("s1", lambda x: np.stack([x, x], 1)),
        f"{ROW}.*test/s1/{FILE}{RIGHT}4009 samples at 8000 Hz, 2 channel",
    ),
    "no length": (
        edit(length="long"),
        f"{ROW}expected a number of samples as length, found long",
    ),
    "a path as ID": (
        edit(mixture_ID="../../secret"),
        "expected a plain file name as mixture_ID, found ../../secret",
    ),
    "no column": (drop_column, "of each mixture in .*, found no column length"),
    "no rows": (
        lambda corpus: list_path(corpus, "mix_clean").write_text(
            "mixture_ID,source_1_path,source_2_path,length\n"
        ),
        "of each mixture in .*, found no rows",
    ),
    "no bytes": (
        lambda corpus: list_path(corpus, "mix_clean").write_text(""),
        "found No columns to parse .*copy the folder",
    ),
    "Libri3Mix": (
        lambda corpus: [
            write_list(corpus, "mix_clean", [{**row, "source_3_path": "x"}])
            for row in read_csv(list_path(corpus, "mix_clean"))
        ],
        "found three sources .Libri3Mix.; ",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_problems_name_file_and_row_and_what_to_do(corpus, problem):
    act, message = PROBLEMS[problem]
    act(corpus)
    with pytest.raises(CorpusError, match=message) as caught:
        prepare(corpus)
    advice = "What to do|copy the folder|give the folder"
    assert any(word in str(caught.value) for word in advice.split("|"))
