"""What does not stop the preparation is counted and listed.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pytest
import soundfile
from audit.full import audit as full
from corpora import (
    FOLDERS,
    make_corpus,
    metadata_path,
    read_csv,
    read_wav,
    rename_in_metadata,
    rewrite,
    wav_path,
    with_residue,
    write_metadata,
)
from prepare_polsess import CorpusError, prepare_polsess

RATE = 8000


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 4 + 2 + 2 mixtures, and its rows."""
    return tmp_path / "Tiny", make_corpus(tmp_path / "Tiny")


# Warnings: (what is done to the samples of a file of the first training row,
# whether the mixture follows, check, found).
def lsb(number):
    """A mixture that is off by some steps in one sample."""
    step = np.eye(1, RATE, 1234, dtype=np.int16)[0] * np.int16(number)
    return lambda samples: samples + step


WARNINGS = [
    ("mixFile", lsb(3), False, None, None),
    ("mixFile", lsb(4), False, "beyond rounding", "4 LSB, -"),
    ("mixFile", with_residue(-41), False, "beyond rounding", " LSB, -41."),
    ("sceneFile", lambda x: x * 0, True, "silent", "peak 0 LSB"),
    ("speaker2File", lambda x: x * 0, True, "silent", "peak 0 LSB"),
    ("speaker2File", lambda x: x // 40, True, "near-silent speech", "-5"),
    ("speaker2File", lambda x: x // 4, True, None, None),
]


@pytest.mark.parametrize("column, change, follow, check, found", WARNINGS)
def test_warning_is_counted_and_listed(
    corpus, tmp_path, caplog, column, change, follow, check, found
):
    root, rows = corpus
    row = rows["train"][0]
    before = read_wav(root, row, column)
    rewrite(root, rows, column, change)
    if follow:
        change = read_wav(root, row, column) - before
        rewrite(root, rows, "mixFile", lambda samples: samples + change)
    with caplog.at_level("WARNING"):
        prepare_polsess(root, tmp_path / "save", audit=full)
    listed = read_csv(tmp_path / "save" / "audit.csv")
    if check is None:
        assert listed == []
        return
    assert [line["check"] for line in listed] == [check]
    assert listed[0]["severity"] == "warning"
    assert listed[0]["row"] == "2" and listed[0]["split"] == "train"
    assert listed[0]["file"].endswith(row[column])
    assert found in listed[0]["found"]
    assert f"train: {check}: expected " in caplog.text
    assert "1 such" in caplog.text
    assert len(read_csv(tmp_path / "save" / "train_C.csv")) == 4


def test_clipped_files_are_listed(corpus, tmp_path):
    root, rows = corpus
    for column in FOLDERS:
        peak = 32767 if column in ("sceneFile", "mixFile") else 0
        rewrite(
            root,
            rows,
            column,
            lambda x: np.r_[x[:5], peak, x[6:]].astype("int16"),
        )
    prepare_polsess(root, tmp_path / "save", audit=full)
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert [line["check"] for line in listed] == ["clipped", "clipped"]
    assert [line["found"] for line in listed] == ["1 samples", "1 samples"]


def test_repeated_row_is_used_once(corpus, tmp_path):
    root, rows = corpus
    write_metadata(metadata_path(root, "train"), rows["train"] * 2)
    prepare_polsess(root, tmp_path / "save")
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert [line["check"] for line in listed] == ["repeated row"] * 4
    assert sorted(line["row"] for line in listed) == ["6", "7", "8", "9"]
    assert len(read_csv(tmp_path / "save" / "train_C.csv")) == 4


@pytest.mark.parametrize("column", ["speech1", "speech2", "scene", "event"])
def test_what_splits_share_is_counted_by_pair(corpus, tmp_path, caplog, column):
    root, rows = corpus
    column += "OryginalPath"
    # Installed elsewhere, but the same recording.
    shared = rows["train"][0][column].replace("C:\\datasety", "/data")
    rows["test"][1][column] = shared.replace("\\", "/")
    write_metadata(metadata_path(root, "test"), rows["test"])
    kinds = {"scene": ["scene"], "event": ["recording"]}.get(
        column[:5], ["recording", "speaker"]
    )
    with caplog.at_level("WARNING"):
        prepare_polsess(root, tmp_path / "save")
    for kind in kinds:
        expected = f"test: shared {kind}: expected none of train, found 1 in 1"
        assert expected in caplog.text
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert [line["check"] for line in listed] == [f"shared {k}" for k in kinds]
    # The full audit names the rows.
    prepare_polsess(root, tmp_path / "save", audit=full)
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert [line["check"] for line in listed if line["row"] == "3"] == [
        f"shared {kind}" for kind in kinds
    ]


def test_same_speaker_twice(corpus, tmp_path):
    root, rows = corpus
    path = rows["train"][0]["speech1OryginalPath"].replace("sent", "word")
    rename_in_metadata(root, rows, "speech2OryginalPath", path)
    prepare_polsess(root, tmp_path / "save")
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert [line["check"] for line in listed] == ["same speaker twice"]
    assert listed[0]["found"] == "SES0001"


def test_flat_source_folders_say_nothing_about_speakers(corpus, tmp_path):
    root, rows = corpus
    for subset, of_subset in rows.items():
        for number, row in enumerate(of_subset):
            for name in ("speech1OryginalPath", "speech2OryginalPath"):
                row[name] = f"clips/{subset}_{name[:7]}_{number}.wav"
        write_metadata(metadata_path(root, subset), of_subset)
    prepare_polsess(root, tmp_path / "save")
    assert read_csv(tmp_path / "save" / "audit.csv") == []
    for line in read_csv(tmp_path / "save" / "train_C.csv"):
        assert line["speaker1"] == line["speaker2"] == ""
    # A second folder: folders may be speakers.
    rows["train"][0]["speech1OryginalPath"] = "ewa/1.wav"
    write_metadata(metadata_path(root, "train"), rows["train"])
    prepare_polsess(root, tmp_path / "save")
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert [line["check"] for line in listed] == ["same speaker twice"] * 3
    assert {line["found"] for line in listed} == {"clips"}


def test_quick_audit_samples_200_mixtures_per_split(tmp_path):
    root = tmp_path / "Tiny"
    rows = make_corpus(root, {"test": (0, 203)}, seconds=0.01)["test"]
    for row in rows:
        path = wav_path(root, row, "sceneFile")
        soundfile.write(path, np.full(80, np.nan), RATE, subtype="FLOAT")
    for audit, check in (
        (None, "mixture is not the sum: 200"),
        (full, "infinite samples: 203"),
    ):
        with pytest.raises(CorpusError, match=check):
            prepare_polsess(root, tmp_path / "save", "test", audit=audit)


def test_a_row_of_another_subset_is_listed(tmp_path):
    root = tmp_path / "Tiny"
    rows = make_corpus(root)["test"]
    rows[0]["subset"] = "train"
    write_metadata(metadata_path(root, "test"), rows)
    prepare_polsess(root, tmp_path / "save", ["test"])
    found = read_csv(tmp_path / "save/audit.csv")
    assert [(f["check"], f["expected"], f["found"]) for f in found] == [
        ("other subset", "test", "train")
    ]
