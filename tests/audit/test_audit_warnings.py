"""Warnings of the audit are counted, and listed by row."""

import numpy as np
import pytest
from audit.full import audit as full
from audit.samples import check_level, check_residue
from corpora import COLUMNS, MadeCorpus

LSB = 2**-15


def square(size):
    """A signal whose peak and RMS are known, in steps of 16 bit."""
    return LSB * np.tile([size, -size], 50)


@pytest.mark.parametrize(
    "column, samples, check, found",
    [
        ("s2_wav", square(1), "silent", "peak 1 LSB"),
        ("event_wav", square(2), None, ""),
        ("s1_wav", square(2), "near-silent speech", "-84.3 dB"),
        ("s2_wav", square(103), "near-silent speech", "-50.1 dB"),
        ("s2_wav", square(104), None, ""),
        ("mix_wav", square(32766), None, ""),
        ("mix_wav", LSB * np.array([32767, 9, 32766]), "clipped", "1 samples"),
        ("mix_wav", LSB * np.array([-32768, 32767]), "clipped", "2 samples"),
    ],
)
def test_levels_at_the_limits(column, samples, check, found):
    expected = {
        "silent": "a signal",
        "near-silent speech": "at least -50 dB",
        "clipped": "below full scale",
    }
    line = check, column, expected.get(check), found
    assert list(check_level(column, samples)) == ([line] if check else [])


@pytest.mark.parametrize("setting, limit", [("indoor", 3), ("outdoor", 2)])
def test_a_mixture_may_be_off_by_rounding(setting, limit):
    mixture, one = np.full(100, 0.5), np.eye(1, 100)[0] * LSB
    assert not list(check_residue(setting, mixture, limit * one))
    level = 10 * np.log10((limit + 1) ** 2 * LSB**2 / 25)
    found = f"{limit + 1} LSB, {level:.1f} dB"
    line = "beyond rounding", "mix_wav", f"at most {limit} LSB", found
    for sign in (1, -1):
        residue = sign * (limit + 1) * one
        assert list(check_residue(setting, mixture, residue)) == [line]


def details(corpus):
    """Split, check, row, expected and found of each finding."""
    names = ("split", "check", "row", "expected", "found")
    return [tuple(line[n] for n in names) for line in corpus.read("audit")]


def test_what_splits_share_is_counted_by_pair_and_listed_by_row(
    tmp_path, caplog
):
    counts = {"train": (1, 0), "val": (0, 1), "test": (0, 7)}
    corpus = MadeCorpus(tmp_path, counts)
    (first,), (valid,), rows = corpus.rows.values()
    # Installed elsewhere, but the same recordings.
    shared = {
        column: value.replace("C:\\datasety", "/data").replace("\\", "/")
        for column, value in first.items()
    }
    kinds = "speech1", "speech2", "scene", "event"
    speaker1, speaker2, scene, event = (f"{k}OryginalPath" for k in kinds)
    rows[0][speaker2] = shared[speaker1]
    rows[1][speaker2] = shared[speaker2].replace("mls", "MLS")
    rows[2][event] = shared[event]
    rows[3][scene] = rows[4][scene] = valid[scene] = shared[scene]
    # The third session has a recording of the same name.
    rows[5][speaker1] = first[speaker1].replace("SES0001", "SES0099")
    path = corpus.path("mixFile", 6, "test")
    rows[6]["mixFile"] = first["mixFile"]
    path.rename(corpus.path("mixFile", 6, "test"))
    corpus.write("val")
    corpus.write("test")
    with caplog.at_level("WARNING"):
        corpus.prepare()
    counted = [
        ("test", "shared mixture", "", "none of train", "1 in 1 mixtures"),
        ("test", "shared recording", "", "none of train", "3 in 3 mixtures"),
        ("test", "shared scene", "", "none of train", "1 in 2 mixtures"),
        ("test", "shared scene", "", "none of valid", "1 in 2 mixtures"),
        ("test", "shared speaker", "", "none of train", "2 in 2 mixtures"),
        ("valid", "shared scene", "", "none of train", "1 in 1 mixtures"),
    ]
    assert sorted(details(corpus)) == counted
    for split, check, _, expected, found in counted:
        text = f"{split}: {check}: expected {expected}, found {found}; 1 such"
        assert text in caplog.text
    corpus.prepare(audit=full)
    speech1 = "ses0001_ses/sent001_bndl/sent001.wav"
    speech2 = "5001/77/5001_77_000001.flac"
    noise = "tut/audio/b001_0_10.wav"
    sound = "esc-50/audio/1-1-a-22.wav"
    name = first["mixFile"].removesuffix(".wav")
    assert sorted(line for line in details(corpus) if line[2]) == [
        ("test", "shared mixture", "8", "none of train", name),
        ("test", "shared recording", "2", "none of train", speech1),
        ("test", "shared recording", "3", "none of train", speech2),
        ("test", "shared recording", "4", "none of train", sound),
        ("test", "shared scene", "5", "none of train", noise),
        ("test", "shared scene", "5", "none of valid", noise),
        ("test", "shared scene", "6", "none of train", noise),
        ("test", "shared scene", "6", "none of valid", noise),
        ("test", "shared speaker", "2", "none of train", "SES0001"),
        ("test", "shared speaker", "3", "none of train", "5001"),
        ("valid", "shared scene", "2", "none of train", noise),
    ]


def test_odd_rows_are_used_once(tmp_path):
    corpus = MadeCorpus(tmp_path)
    rows = corpus.rows["train"]
    path = rows[0]["speech1OryginalPath"].replace("sent", "word")
    rows[0]["speech2OryginalPath"] = path
    rows[1]["subset"] = "test"
    rows.append({**rows[2], "SSR": "rated again"})
    corpus.write()
    corpus.prepare("train")
    assert sorted(details(corpus)) == [
        ("train", "other subset", "3", "train", "test"),
        ("train", "repeated row", "6", "once", "again"),
        ("train", "same speaker twice", "2", "two speakers", "SES0001"),
    ]
    assert len(corpus.read("train_C")) == 4
    assert "rated again" not in str(corpus.read("train_C"))


@pytest.mark.parametrize("folder", ["clips/", ""])
def test_flat_source_folders_say_nothing_about_speakers(tmp_path, folder):
    corpus = MadeCorpus(tmp_path)
    for subset, rows in corpus.rows.items():
        for number, row in enumerate(rows):
            for kind in ("speech1", "speech2"):
                name = f"{folder}{subset}_{kind}_{number}.wav"
                row[f"{kind}OryginalPath"] = name
        corpus.write(subset)
    corpus.prepare(audit=full)
    assert corpus.read("audit") == []
    for line in corpus.read("train_C"):
        assert line["speaker1"] == line["speaker2"] == ""
    # A second folder: folders may be speakers.
    corpus.rows["train"][0]["speech1OryginalPath"] = "ewa/1.wav"
    corpus.rows["train"][1]["speech1OryginalPath"] = "jan/1.wav"
    corpus.write()
    corpus.prepare("train")
    found = {(line[1], line[4]) for line in details(corpus)}
    assert found == ({("same speaker twice", "clips")} if folder else set())
    speakers = {line["speaker1"] for line in corpus.read("train_C")}
    assert speakers == {"ewa", "jan", folder.strip("/")}


def test_columns_of_speakers_count_and_not_the_folders(tmp_path):
    corpus = MadeCorpus(tmp_path)
    names = ("speech1Speaker", "speech2Speaker")
    for subset, rows in corpus.rows.items():
        for number, row in enumerate(rows):
            for name in names:
                # Folders, and file names such as those of MLS, mislead.
                row[f"{name[:7]}OryginalPath"] = f"clips/1_2_{number}.wav"
                row[f"{name[:7]}OryginalPath"] += subset + name
                row[name] = f"{subset}_{name}_{number}"
    corpus.rows["train"][0]["speech1OryginalPath"] = "others/1.wav"
    corpus.rows["train"][1][names[1]] = corpus.rows["train"][1][names[0]]
    corpus.rows["test"][0][names[0]] = "train_speech1Speaker_0"
    for subset in corpus.rows:
        corpus.write(subset, [*COLUMNS, *names])
    for audit, shared in ((None, "1 in 1 mixtures"), (full, "train_speech1")):
        corpus.prepare(audit=audit)
        found = {line[1]: line[4] for line in details(corpus)}
        assert set(found) == {"same speaker twice", "shared speaker"}
        assert found["same speaker twice"] == "train_speech1Speaker_1"
        assert found["shared speaker"].startswith(shared)
    speakers = [row["speaker1"] for row in corpus.read("train_C")]
    assert sorted(speakers) == [f"train_speech1Speaker_{n}" for n in range(4)]
    # A corpus without them, as before.
    corpus.write("train")
    corpus.prepare("train")
    assert {line[1] for line in details(corpus)} == {"same speaker twice"}
    assert {row["speaker2"] for row in corpus.read("train_C")} == {"1"}
