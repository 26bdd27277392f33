"""Rows and columns of the manifests and of test_metadata.csv."""

import csv
import io
import itertools
from pathlib import Path

import pytest
from corpora import COLUMNS, FOLDERS, MadeCorpus, read_csv, write_metadata
from prepare_polsess import CorpusError, data_root, prepare_polsess

from speechbrain.dataio.dataio import load_data_csv

VARIANTS = {
    **dict.fromkeys(("SER", "SR", "ER", "R"), ["indoor"]),
    **dict.fromkeys(("SE", "S", "E"), ["outdoor"]),
    "C": ["indoor", "outdoor"],
}
HEADER = (
    "ID,duration,setting,sample_rate,mix_wav,s1_wav,s2_wav,scene_wav,"
    "event_wav,s1_reverb_wav,s2_reverb_wav,event_reverb_wav,ssr_db,"
    "scene_class,event_class,speaker1,speaker2"
)
# Their columns of the metadata.
FILES = (
    "mixFile speaker1File speaker2File sceneFile eventFile reverbForSpeaker1 "
    "reverbForSpeaker2 reverbForEvent"
).split()


def item(row, duration, sample_rate):
    """The line of a manifest for a row of the metadata."""
    paths = [
        f"$data_root/{row['subset']}/{FOLDERS[column]}/{row[column]}"
        if row[column]
        else ""
        for column in FILES
    ]
    return [
        *(row["mixFile"].removesuffix(".wav"), str(duration)),
        *("indoor" if row["reverbForEvent"] else "outdoor", str(sample_rate)),
        *(*paths, row["SSR"], row["sceneClass"], row["eventClass"]),
        row["speech1OryginalPath"].split("\\")[3][: len("SES0001")],
        row["speech2OryginalPath"].split("\\")[5],
    ]


def text(header, lines):
    """A CSV of lines whose cells need no quotes, sorted by the first."""
    return "".join(
        f"{line}\n" for line in [header, *map(",".join, sorted(lines))]
    )


def test_manifests_hold_what_the_corpus_holds(tmp_path):
    counts = {"train": (2, 2), "val": (0, 2), "test": (2, 1)}
    corpus = MadeCorpus(tmp_path, counts, sample_rate=16000, seconds=0.12345)
    # Some read NA as an empty cell.
    path = corpus.path("mixFile", 0, "test")
    path.rename(path.with_name("NA.wav"))
    corpus.rows["test"][0]["mixFile"] = "NA.wav"
    corpus.write("test")
    found = corpus.prepare()
    del found["prepare.json"]
    expected = {
        "audit.csv": "severity,check,split,ID,metadata,row,file,expected,found,"
        "action\n",
        "excluded.csv": "split,ID,metadata,row,reason\n",
        "test_metadata.csv": text(
            ",".join(["ID", *COLUMNS]),
            [
                [row["mixFile"].removesuffix(".wav")]
                + [row[c].replace("NaN", "") for c in COLUMNS]
                for row in corpus.rows["test"]
            ],
        ),
    }
    for split, subset in dict(train="train", valid="val", test="test").items():
        items = [item(r, 1975 / 16000, 16000) for r in corpus.rows[subset]]
        for variant, settings in VARIANTS.items():
            chosen = [i for i in items if i[2] in settings]
            expected[f"{split}_{variant}.csv"] = text(HEADER, chosen)
    assert {name: found[name].decode() for name in found} == expected


def test_only_the_splits_asked_for_are_needed_and_written(tmp_path):
    corpus = MadeCorpus(tmp_path, {"val": (1, 1)})
    names = {"audit.csv", "excluded.csv", "prepare.json"}
    assert set(corpus.prepare("valid")) - names == {
        f"valid_{variant}.csv" for variant in VARIANTS
    }
    with pytest.raises(CorpusError, match="(?s)train: .*test: expected a fol"):
        corpus.prepare()


def test_several_roots_make_one_corpus(tmp_path):
    """Each has its own SSR in the same lines, and one a column more."""
    corpora = [
        MadeCorpus(tmp_path, {"test": (2, 0)}, "PolSESS_C_in"),
        MadeCorpus(tmp_path, {"test": (0, 3)}, "PolSESS_C_out", seed=1),
    ]
    expected = {}
    for seed, corpus in enumerate(corpora):
        for number, row in enumerate(corpus.rows["test"]):
            row["SSR"] = str(10 * seed + number)
            row["note"] = f"{seed}{number}"
            name = Path(row["mixFile"]).stem
            expected[name] = row["SSR"], row["note"] if seed else ""
        corpus.write("test", [*COLUMNS, "note"] if seed else COLUMNS)
    # The same one twice is one.
    roots = [str(corpora[number].root) for number in (0, 1, 0)]
    prepare_polsess(roots, tmp_path / "save", "test")
    found = {
        row["ID"]: (row["SSR"], row["note"])
        for row in corpora[0].read("test_metadata")
    }
    assert found == expected and list(found) == sorted(found)
    assert corpora[0].read("audit") == []
    # As SpeechBrain loads it.
    path = tmp_path / "save/test_C.csv"
    assert "$data_root/PolSESS_C_in/test/mix/" in path.read_text()
    items = load_data_csv(path, {"data_root": data_root(roots)})
    assert list(items) == sorted(expected)
    for name, values in items.items():
        assert values["ssr_db"] == expected[name][0]
        files = [values[c] for c in values if c.endswith("_wav") and values[c]]
        assert len(files) == (8 if values["setting"] == "indoor" else 5)
        assert all(Path(file).is_file() for file in files)


def quoted(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS[::-1], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)


def spaced(path, rows):
    write_metadata(path, [{c: f" {row[c]} " for c in row} for row in rows])
    path.write_text(path.read_text(encoding="utf-8").replace("\n", "\n\n"))


def empty_cells(path, rows):
    names = ["NaN", "nan", "NA", "missing", "<missing>", "<undefined>", ""]
    names = itertools.cycle(names)
    write_metadata(
        path,
        [
            {c: next(names) if row[c] in ("", "NaN") else row[c] for c in row}
            for row in rows
        ],
    )


def twice_the_same(path, rows):
    renamed = path.parent.parent / "corpus_PolSESS_v2_test_final.csv"
    renamed.write_bytes(path.read_bytes())
    path.rename(path.with_name("corpus_PolSESS_v1_test_final.csv"))


def rewritten(encoding, mark, first):
    """Metadata as a spreadsheet exports it."""

    def rewrite(path, rows):
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        text = io.StringIO()
        csv.writer(text, delimiter=mark).writerows(lines)
        path.write_bytes((first + text.getvalue()).encode(encoding))

    return rewrite


OLDER = {"sceneRandomDB", "sceneOffsetDB", "sceneVolumeGain"}
# What is done to the metadata, of which path and rows are given.
ORIGINS = {
    "older": lambda path, rows: write_metadata(
        path, rows, [c for c in COLUMNS if c not in OLDER]
    ),
    "Windows": lambda path, rows: path.write_bytes(
        b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n")
    ),
    "Polish Windows": lambda path, rows: path.write_bytes(
        path.read_text(encoding="utf-8").encode("cp1250")
    ),
    **{
        f"{encoding} with {mark!r}": rewritten(encoding, mark, first)
        for encoding, mark, first in (
            ("utf-8-sig", ";", "sep=;\r\n"),
            ("utf-8", "|", "SEP=|\n"),
            ("cp1250", ";", ""),
            ("utf-16", "\t", ""),
            ("utf-16-be", ",", '"sep=,"\n'),
        )
    },
    "quoted": quoted,
    "spaced": spaced,
    "empty cells": empty_cells,
    "reversed": lambda path, rows: write_metadata(path, rows[::-1]),
    "in the root": lambda path, _: path.rename(path.parents[1] / path.name),
    "renamed": lambda path, rows: path.rename(
        path.with_name("corpus_PolSESS_v2_test_final.csv")
    ),
    "twice the same": twice_the_same,
    "beside another": lambda path, rows: write_metadata(
        path.with_name("corpus_Other_test_final.csv"), rows[:1]
    ),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_metadata_of_other_origin_gives_the_same(tmp_path, origin):
    corpus = MadeCorpus(tmp_path, {"test": (1, 2)})
    rows = corpus.rows["test"]
    for row in rows:
        row["sceneClass"] = "kościół | łąka, żwir"
    corpus.write("test")
    first = corpus.prepare("test")
    assert corpus.read("test_C")[0]["scene_class"] == rows[0]["sceneClass"]
    before = corpus.read("test_metadata")
    ORIGINS[origin](corpus.metadata("test"), rows)
    second = corpus.prepare("test")
    # It has the columns of its own, in their order.
    after = corpus.read("test_metadata")
    assert after == [{c: row[c] for c in after[0]} for row in before]
    lost = {*before[0]} - {*after[0]}
    assert lost == (OLDER if origin == "older" else set())
    for files in (first, second):
        del files["prepare.json"], files["test_metadata.csv"]
    assert first == second


def test_columns_of_a_corpus_may_have_any_name(tmp_path):
    """Also that of a column before them: then the first one counts."""
    corpus = MadeCorpus(tmp_path)
    rows = [dict(row) for row in corpus.rows["test"]]
    path = corpus.metadata("test")
    header, *lines = path.read_text().splitlines()
    lines = [f"{line},1,2,3,4,5,6" for line in lines]
    header += ",metadata,row,split,ID,SSR,"
    path.write_text("\n".join([header, *lines]) + "\n")
    corpus.prepare("test")
    expected = [
        {
            **{"ID": row["mixFile"].removesuffix(".wav")},
            **{c: row[c].replace("NaN", "") for c in COLUMNS},
            **{"metadata": "1", "row": "2", "split": "3"},
        }
        for row in sorted(rows, key=lambda row: row["mixFile"])
    ]
    found = read_csv(corpus.folder / "save/test_metadata.csv")
    assert found == expected
