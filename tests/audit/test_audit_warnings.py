"""What does not stop the preparation is counted and listed."""

import numpy as np
import pytest
from audit.full import audit as full
from corpora import FOLDERS, read_wav, write_wav
from made_corpus import MadeCorpus

COMPONENTS = list(FOLDERS)[:-1]
N = 800  # samples


def square(size):
    """A signal whose peak and RMS are known."""
    return lambda samples: np.where(np.arange(N) % 2, size, -size)


def peaks(value, count=1):
    """Changes the first samples."""
    return lambda samples: np.r_[[value] * count, samples[count:]]


def alone(column, value, count=1):
    """A component whose first samples have a peak where others have none."""
    silent = dict.fromkeys(COMPONENTS, peaks(0, count))
    return {**silent, column: peaks(value, count)}


def off(steps, limit):
    """The finding for a mixture that is off in one sample."""
    found = f"{abs(steps)} LSB, LEVEL dB"
    return steps, [
        ("beyond rounding", "mixFile", f"at most {limit} LSB", found)
    ]


def silent(column, peak):
    """The finding for a component without a signal."""
    return 0, [("silent", column, "a signal", f"peak {peak} LSB")]


def soft(column, level):
    """The finding for speech that is hardly heard."""
    return 0, [("near-silent speech", column, "at least -50 dB", f"{level} dB")]


def clipped(column, count):
    """The findings for a component, and so the mixture, at full scale."""
    found = "below full scale", f"{count} samples"
    return 0, [("clipped", name, *found) for name in (column, "mixFile")]


# Column -> change of a component, whom the mixture follows; by how many steps
# the mixture is off in one sample, then; what is found.
INDOOR = [
    ({}, 3, []),
    ({}, *off(4, 3)),
    ({}, *off(-4, 3)),
    ({"sceneFile": square(0)}, *silent("sceneFile", 0)),
    ({"speaker2File": square(1)}, *silent("speaker2File", 1)),
    ({"eventFile": square(2)}, 0, []),
    ({"speaker1File": square(2)}, *soft("speaker1File", -84.3)),
    ({"speaker2File": square(103)}, *soft("speaker2File", -50.1)),
    ({"speaker2File": square(104)}, 0, []),
    (alone("sceneFile", 32767), *clipped("sceneFile", 1)),
    (alone("eventFile", -32768, 2), *clipped("eventFile", 2)),
    (alone("sceneFile", 32766), 0, []),
]
OUTDOOR = [({}, 2, []), ({}, *off(3, 2))]


def test_levels_are_listed_and_counted(tmp_path, caplog):
    corpus = MadeCorpus(tmp_path, {"test": (len(INDOOR), len(OUTDOOR))})
    expected = []
    for number, case in enumerate([*INDOOR, *OUTDOOR]):
        changes, steps, findings = case
        row, mixture = corpus.rows["test"][number], np.zeros(N, int)
        for column in filter(row.get, COMPONENTS):
            path = corpus.path(column, number, "test")
            samples = changes.get(column, lambda x: x)(read_wav(path))
            write_wav(path, samples)
            mixture += samples
        mixture[5] += steps
        write_wav(corpus.path("mixFile", number, "test"), mixture)
        with np.errstate(divide="ignore"):
            level = 10 * np.log10(steps**2 / np.sum(mixture**2))
        for check, column, right, wrong in findings:
            file = f"test/{FOLDERS[column]}/{row[column]}"
            wrong = wrong.replace("LEVEL", f"{level:.1f}")
            line = ("warning", check, str(number + 2), file, right, wrong)
            expected.append(line)
    with caplog.at_level("WARNING"):
        corpus.prepare("test", audit=full)
    names = ("severity", "check", "row", "file", "expected", "found")
    found = [tuple(line[n] for n in names) for line in corpus.read("audit")]
    assert sorted(found) == sorted(expected)
    text = "test: clipped: expected below full scale, found 1 samples; 4 such"
    assert text in caplog.text
    assert len(corpus.read("test_C")) == len(corpus.rows["test"])


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
        column: first[column]
        .replace("C:\\datasety", "/data")
        .replace("\\", "/")
        for column in first
    }
    speaker1, speaker2, scene, event = (
        f"{kind}OryginalPath"
        for kind in ("speech1", "speech2", "scene", "event")
    )
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
    speech1, speech2 = (
        "ses0001_ses/sent001_bndl/sent001.wav",
        "5001/77/5001_77_000001.flac",
    )
    noise = "tut/audio/b001_0_10.wav"
    sound = "esc-50/audio/1-1-a-22.wav"
    name = first["mixFile"].removesuffix(".wav")
    listed = sorted(line for line in details(corpus) if line[2])
    assert listed == [
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


def test_odd_rows_are_used_once(corpus):
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
def test_flat_source_folders_say_nothing_about_speakers(corpus, folder):
    for subset, rows in corpus.rows.items():
        for number, row in enumerate(rows):
            for kind in ("speech1", "speech2"):
                name = f"{folder}{subset}_{kind}_{number}.wav"
                row[f"{kind}OryginalPath"] = name
        corpus.write(subset)
    corpus.prepare()
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
    assert {line["speaker1"] for line in corpus.read("train_C")} == {
        *("ewa", "jan", folder.strip("/"))
    }
