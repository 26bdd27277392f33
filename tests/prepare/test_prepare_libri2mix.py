"""Libri2Mix is prepared as it is stored; what is wrong with it is said."""

import logging
import shutil

import numpy as np
import pytest
import soundfile
from corpora import read_all, read_csv
from libri2mix import (
    list_path,
    make_libri2mix,
    mixture_id,
    samples_of,
    tones,
    write_list,
)
from mixtures import Mixer, load_mixtures, one_row_per_variant
from prepare_libri2mix import prepare_libri2mix
from prepare_polsess import MANIFEST_COLUMNS, CorpusError, data_root
from variants import VARIANTS

KINDS = {"C": "mix_clean", "S": "mix_both"}


@pytest.fixture
def corpus(tmp_path):
    """Of three mixtures of different lengths; its wav8k/min."""
    mixtures = [tones(number, 4000 + 9 * number) for number in range(3)]
    return make_libri2mix(tmp_path / "Libri2Mix", mixtures)


def prepare(corpus, **options):
    """Prepares a corpus; returns the folder of the manifests."""
    save_folder = corpus.parents[2] / "save"
    prepare_libri2mix(corpus.parents[1], save_folder, **options)
    return save_folder


def items_of(data_folder, save_folder, rate=8000):
    """<ID>_<variant> -> variant, mixture, sources, as the data pipeline has them."""
    mixer = Mixer("SB", VARIANTS, seed=0, sample_rate=rate)
    root = data_root(data_folder)
    rows = load_mixtures(save_folder, "test", VARIANTS, root, rate)
    items = {}
    for name, row in one_row_per_variant(rows).items():
        row["duration"] = float(row["duration"])
        items[name] = mixer(*(row[column] for column in Mixer.takes))
    return items


def test_both_kinds_are_read_as_they_are_stored(corpus, tmp_path):
    # mix_clean differs from mix_both - noise by more than rounding.
    path = corpus / f"test/mix_clean/{mixture_id(1)}.wav"
    soundfile.write(path, 0.999 * samples_of(corpus, "mix_clean", 1), 8000)
    before = {p: p.stat().st_mtime_ns for p in corpus.parents[1].rglob("*")}
    prepare(corpus)
    # The folder that holds Libri2Mix does as well.
    prepare_libri2mix(tmp_path, tmp_path / "above")
    for folder, save in ((corpus.parents[1], "save"), (tmp_path, "above")):
        items = items_of(folder, tmp_path / save)
        assert len(items) == 3 * 2
        for number in range(3):
            sources = [samples_of(corpus, s, number) for s in ("s1", "s2")]
            for variant, kind in KINDS.items():
                found = items[f"{mixture_id(number)}_{variant}"]
                assert found[0] == variant
                assert np.array_equal(
                    found[1], samples_of(corpus, kind, number)
                )
                assert np.array_equal(found[2].T, sources)
    # The corpus stays as it is.
    after = {p: p.stat().st_mtime_ns for p in corpus.parents[1].rglob("*")}
    assert after == before


def test_manifests_hold_what_the_lists_hold(corpus):
    # A repeated row counts once; the order of the list says nothing.
    rows = read_csv(list_path(corpus, "mix_both"))
    write_list(corpus, "mix_both", [rows[2], rows[0], rows[1], rows[0]])
    found = read_all(prepare(corpus))
    expected = {f"test_{variant}.csv": [] for variant in VARIANTS}
    for variant, kind in KINDS.items():
        expected[f"test_{variant}.csv"] = [
            {
                **dict.fromkeys(MANIFEST_COLUMNS, ""),
                **{"ID": (name := mixture_id(number)), "setting": "dry"},
                "duration": str((4000 + 9 * number) / 8000),
                "sample_rate": "8000",
                "mix_wav": f"$data_root/wav8k/min/test/{kind}/{name}.wav",
                "s1_wav": f"$data_root/wav8k/min/test/s1/{name}.wav",
                "s2_wav": f"$data_root/wav8k/min/test/s2/{name}.wav",
                "scene_wav": f"$data_root/wav8k/min/test/noise/{name}.wav"
                if variant == "S"
                else "",
                **{
                    "speaker1": f"{100 + number}",
                    "speaker2": f"{200 + number}",
                },
            }
            for number in range(3)
        ]
    expected["test_metadata.csv"] = [
        {"ID": mixture_id(number), "length": f"{4000 + 9 * number}"}
        for number in range(3)
    ]
    folder = corpus.parents[2] / "save"
    assert {name: read_csv(folder / name) for name in found} == expected
    header = ",".join(MANIFEST_COLUMNS).encode() + b"\n"
    assert found["test_SER.csv"] == header
    # Those of the corpus now.
    write_list(corpus, "mix_clean", rows[1:])
    assert len(read_csv(prepare(corpus) / "test_C.csv")) == 2
    (folder / "test_C.csv").unlink()
    prepare(corpus, skip_prep=True)
    assert not (folder / "test_C.csv").exists()


@pytest.mark.parametrize(
    "type_, variant, other, rate",
    [("mix_clean", "C", "S", 8000), ("mix_both", "S", "C", 16000)],
)
def test_one_kind_is_enough_and_a_line_says_so(
    tmp_path, caplog, type_, variant, other, rate
):
    caplog.set_level(logging.INFO)
    mixtures = [tones(0, sample_rate=rate)]
    corpus = make_libri2mix(tmp_path / "Libri2Mix", mixtures, (type_,), rate)
    save_folder = prepare(corpus, sample_rate=rate)
    lines = [line for line in caplog.messages if "is not tested" in line]
    assert len(lines) == 1 and f": {other} is not tested" in lines[0]
    assert read_csv(save_folder / f"test_{other}.csv") == []
    items = items_of(corpus.parents[1], save_folder, rate)
    assert list(items) == [f"{mixture_id(0)}_{variant}"]


def test_nothing_is_trained(corpus):
    with pytest.raises(ValueError, match="prepared for tests alone"):
        prepare(corpus, splits=("train", "valid", "test"))


def remove(*names):
    """Removes folders of the corpus, or files."""

    def act(corpus):
        for name in names:
            path = corpus / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return act


def rewrite(pattern, change=lambda x: x, rate=8000):
    """Changes the samples of files."""

    def act(corpus):
        for path in corpus.glob(pattern):
            samples = change(soundfile.read(path)[0])
            soundfile.write(path, samples, rate, "PCM_16")

    return act


def relist(change):
    """Changes the rows of the clean list."""

    def act(corpus):
        rows = read_csv(list_path(corpus, "mix_clean"))
        write_list(corpus, "mix_clean", [*map(change, rows)])

    return act


def edit(**cells):
    """Changes cells of its second row."""
    name = mixture_id(1)
    return relist(lambda r: {**r, **cells} if r["mixture_ID"] == name else r)


def write(text):
    """Writes the clean list."""
    return lambda corpus: list_path(corpus, "mix_clean").write_text(text)


ROW = "mixture_test_mix_clean.csv row 3: "
NAME = f"{mixture_id(1)}.wav"
FILE = f"{NAME}: expected "
NONE = f"{ROW}.*/test/%s/{FILE}.* found none"
RIGHT = "4009 samples at 8000 Hz, 1 channel, found "
# What to do is the end.
PROBLEMS = {
    "no list": (
        remove("metadata/mixture_test_mix_clean.csv"),
        "mixture_test_mix_clean.csv: expected .*No such file.*copy the folder",
    ),
    "no kind": (
        remove("metadata", "test/mix_clean", "test/mix_both"),
        "no test/mix_clean and no mix_both\nWhat to do: ",
    ),
    "no corpus": (
        lambda corpus: corpus.rename(corpus.with_name("max")),
        "expected wav8k/min or Libri2Mix/wav8k/min in it, found neither; give",
    ),
    "no file": (remove(f"test/s2/{NAME}"), NONE % "s2"),
    "no folder of mixtures": (remove("test/mix_clean"), NONE % "mix_clean"),
    "no folder of noise": (
        remove("test/noise"),
        "^.*: 3 errors.*\n.*mix_both.csv row 2: .*/test/noise/.*found none",
    ),
    "no WAV file": (
        lambda corpus: (corpus / f"test/s1/{NAME}").write_bytes(b"noise"),
        f"{ROW}.*test/s1/{FILE}{RIGHT}(?!none)",
    ),
    "another rate of all": (
        rewrite("test/*/*.wav", rate=16000),
        "21 errors, such as\nmixture_test_mix_both.csv row 2: .*at 16000 Hz",
    ),
    "another length": (
        rewrite(f"test/s1/{NAME}", lambda x: x[:-5]),
        f"{ROW}.*test/s1/{FILE}{RIGHT}4004 samples",
    ),
    "another length than the list says": (
        edit(length="4010.0"),
        f"{ROW}.*{FILE}4010 samples at .* found 4009 samples",
    ),
    "two channels": (
        rewrite(f"test/s1/{NAME}", lambda x: np.stack([x, x], 1)),
        f"{ROW}.*test/s1/{FILE}{RIGHT}4009 samples at 8000 Hz, 2 channel",
    ),
    **{
        f"length {length}": (
            edit(length=length),
            f"{ROW}expected a number of samples as length, found {length}\n",
        )
        for length in ("long", "0", "4009.5", "-4009")
    },
    "a path as ID": (
        edit(mixture_ID="../../secret"),
        "expected a plain file name as mixture_ID, found ../../secret",
    ),
    "a variable as ID": (edit(mixture_ID="$HOME"), "mixture_ID, found .HOME"),
    "no column": (
        relist(lambda row: {k: row[k] for k in row if k != "length"}),
        "of each mixture in .*, found no column length",
    ),
    "no rows": (
        write("mixture_ID,source_1_path,source_2_path,length\n"),
        "of each mixture in .*, found no rows; copy",
    ),
    "no bytes": (write(""), "found No columns to parse .*copy the folder"),
    "Libri3Mix": (
        relist(lambda row: {**row, "source_3_path": "x"}),
        "found three sources .Libri3Mix.; copy the folder",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_problems_name_file_and_row_and_what_to_do(corpus, problem):
    act, message = PROBLEMS[problem]
    act(corpus)
    with pytest.raises(CorpusError, match=message) as caught:
        prepare(corpus)
    advice = ("What to do", "copy the folder", "give the folder")
    assert any(words in str(caught.value) for words in advice)
    assert not (corpus.parents[2] / "save").exists()
