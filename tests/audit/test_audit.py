"""Each defect of a corpus is found, named with its place, and can be skipped."""

import csv
from collections import Counter
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
import soundfile
from audit.full import audit as full
from corpora import COLUMNS, FOLDERS, MadeCorpus, read_all, read_wav, write_wav
from prepare_polsess import CorpusError, prepare_polsess

EVENT, MIX = ["eventFile"], ["mixFile"]
REVERBS = COLUMNS[21:24]
PARAMETERS = COLUMNS[27:]


def cells(columns, value):
    def spoil(corpus, number):
        corpus.rows["test"][number].update(dict.fromkeys(columns, value))

    return spoil


def files(columns, act):
    def spoil(corpus, number):
        for column in columns:
            act(corpus.path(column, number, "test"))

    return spoil


def samples(columns, change, rate=8000):
    return files(columns, lambda p: write_wav(p, change(read_wav(p)), rate))


def content(change, columns=FOLDERS):
    return files(columns, lambda p: p.write_bytes(change(p.read_bytes())))


def written(columns=FOLDERS, cut=None, change=lambda x: x, **options):
    """Files of another coding, whole or without their last bytes."""

    def write(path):
        values = change(read_wav(path) / 32768)
        soundfile.write(path, values, 8000, **options)
        path.write_bytes(path.read_bytes()[:cut])

    return files(columns, write)


def short(values):
    return values[:700]


def with_other_chunks(whole):
    """A WAV file with a chunk of odd length before and one after the audio."""
    before, after = b"LIST\5\0\0\0abcde\0", b"junk\2\0\0\0ab"
    return whole[:36] + before + whole[36:] + after


def with_nan(values):
    values[[0, 10, 100]] = np.nan, np.inf, -np.inf
    return values


def with_residue(level_db):
    """Adds a residue whose level against the mixture is known."""

    def add(values):
        size = np.sqrt(np.mean(values.astype(float) ** 2))
        size *= 10 ** (level_db / 20)
        sign = np.where(np.arange(len(values)) % 2, 1, -1)
        return values + np.round(sign * size).astype(np.int16)

    return add


def flac(corpus, number):
    """A header that is whole, of a file whose samples cannot be decoded."""
    written(EVENT, format="FLAC", subtype="PCM_16")(corpus, number)
    content(lambda x: x[:100] + bytes(len(x) - 100), EVENT)(corpus, number)


def link(corpus, number):
    """A file that lies outside, in a place whose name begins as the root's."""
    path = corpus.path("eventFile", number, "test")
    path.rename(f"{corpus.root}.wav")
    path.symlink_to(f"{corpus.root}.wav")


def silent_scene(corpus, number):
    path = corpus.path("sceneFile", number, "test")
    scene = read_wav(path)
    write_wav(path, 0 * scene)
    samples(["mixFile"], lambda mixture: mixture - scene)(corpus, number)


def silent_and_partly_filled(corpus, number):
    """Samples are read only where there is no other defect."""
    silent_scene(corpus, number)
    cells(PARAMETERS, "")(corpus, number)


def twin(corpus, number):
    rows = corpus.rows["test"]
    rows[number]["mixFile"] = rows[number - 1]["mixFile"]


EXPECTED = {
    "missing file": "a WAV file",
    "unreadable file": "a WAV file",
    "length differs": "800 samples",
    "empty audio": "samples",
    "sample rate differs": "8000 Hz",
    "not mono": "1 channel",
    "mixture is not the sum": "residue below -40 dB",
    "beyond rounding": "at most 3 LSB",
    "silent": "a signal",
    "name leaves the corpus": "a plain name",
    "unusable value": "no $",
    "empty name": "a name",
    "cut row": "a cell per column",
    "conflicting rows": "one row of this name, in one corpus",
    "partly filled": "all files and parameters of the reverberation, or none",
    "link leaves the corpus": "a file of the corpus",
    "truncated file": "all that its header declares",
    "NaN or infinite samples": "finite samples",
}
# Findings: check, column or its file, what is found.
NO_WAV = ("unreadable file", "eventFile/", ANY)
NO_REVERB = [("empty name", column, "none") for column in REVERBS]
TWIN = ("conflicting rows", "", "2")
PARTLY = ("partly filled", "", "3 of 3 files, 0 of 7 parameters")
NEARLY = ("partly filled", "", "3 of 3 files, 6 of 7 parameters")


def cut_to(n_samples):
    found = f"expected 800 samples, found {n_samples}"
    return [("truncated file", f"{column}/", found) for column in FOLDERS]


def lengths(columns, found="700"):
    return [("length differs", f"{column}/", found) for column in columns]


# What is done to an indoor row, and what is found; then what the full audit
# finds, where that is something else.
DEFECTS = [
    (files(EVENT, Path.unlink), [("missing file", "eventFile/", "none")]),
    (content(lambda whole: b"noise" * 99, EVENT), [NO_WAV]),
    (content(lambda whole: whole[:-200], EVENT), lengths(EVENT)),
    (samples(EVENT, short), lengths(EVENT)),
    (samples(MIX, short), lengths(MIX)),
    # The length of the mixture is the right one.
    (samples(EVENT + REVERBS, short), lengths(EVENT + REVERBS)),
    (
        samples(EVENT, lambda x: x[:0]),
        [("empty audio", "eventFile/", "0 samples"), *lengths(EVENT, "0")],
    ),
    (
        samples(EVENT, lambda x: x, 16000),
        [("sample rate differs", "eventFile/", "16000")],
    ),
    (
        samples(EVENT, lambda x: np.stack([x, x], 1)),
        [("not mono", "eventFile/", "2")],
    ),
    (
        samples(MIX, with_residue(-39.5)),
        [("mixture is not the sum", "mixFile/", ANY)],
    ),
    (
        samples(MIX, with_residue(-40.5)),
        [],
        [("beyond rounding", "mixFile/", ANY)],
    ),
    (silent_scene, [], [("silent", "sceneFile/", "peak 0 LSB")]),
    *(
        (cells(EVENT, name), [("name leaves the corpus", "eventFile", name)])
        for name in ("../event/a.wav", "/a.wav", "\\a.wav", "C:a.wav", "..")
    ),
    *(
        (cells(EVENT, n), [("unusable value", "event_wav", f"test/event/{n}")])
        for n in ("$HOME.wav", "a\tb.wav")
    ),
    (cells(["sceneClass"], "a$b"), [("unusable value", "scene_class", "a$b")]),
    (cells(EVENT, ""), [("empty name", "eventFile", "none")]),
    (cells(MIX, "NaN"), [("empty name", "mixFile", "none")]),
    (cells(REVERBS[2:], "<missing>"), NO_REVERB[2:]),
    (cells(REVERBS, "NaN"), NO_REVERB),
    (cells(REVERBS + PARAMETERS[1:], ""), NO_REVERB),
    (cells(REVERBS + PARAMETERS[:6], ""), NO_REVERB),
    (cells(["n_more"], -2), [("cut row", "", "-2 cells")]),
    (cells(["n_more"], 1), [("cut row", "", "+1 cells")]),
    (lambda corpus, number: None, [TWIN]),
    (twin, [TWIN]),
    (silent_and_partly_filled, [], [PARTLY]),
    (cells(PARAMETERS[:1], "NaN"), [], [NEARLY]),
    (cells(PARAMETERS[6:], ""), [], [NEARLY]),
    (link, [], [("link leaves the corpus", "eventFile/", ANY)]),
    (content(lambda whole: whole[:-80]), [], cut_to(760)),
    (content(lambda whole: with_other_chunks(whole)[:-90]), [], cut_to(760)),
    (written(subtype="FLOAT", cut=-80), [], cut_to(780)),
    (written(format="WAVEX", subtype="PCM_16", cut=-80), [], cut_to(760)),
    (
        written(EVENT, change=with_nan, subtype="FLOAT"),
        [("mixture is not the sum", "mixFile/", "nan dB")],
        [("NaN or infinite samples", "eventFile/", "3 samples")],
    ),
    (flac, [("unreadable file", "", ANY)], [NO_WAV]),
]
WARNINGS = ("beyond rounding", "silent")
METADATA = "test/corpus_Tiny_test_final.csv"


def spoilt(folder):
    corpus = MadeCorpus(folder, {"test": (len(DEFECTS) + 2, 2)})
    for number, (spoil, *_) in enumerate(DEFECTS):
        spoil(corpus, number)
    with open(corpus.metadata("test"), "w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in corpus.rows["test"]:
            line = [row[column] for column in COLUMNS] + ["more"]
            writer.writerow(line[: len(COLUMNS) + row.get("n_more", 0)])
    return corpus


def listed(corpus):
    found = [[] for _ in corpus.rows["test"]]
    for line in corpus.read("audit"):
        check, number = line["check"], int(line["row"]) - 2
        assert line["split"] == "test" and line["metadata"] == METADATA
        is_warning = check in WARNINGS
        assert line["severity"] == ("warning" if is_warning else "error")
        assert line["expected"] in (EXPECTED[check], "WAV files")
        row = corpus.rows["test"][number]
        files = {f"test/{f}/{row[c]}": f"{c}/" for c, f in FOLDERS.items()}
        file = files.get(line["file"], line["file"])
        found[number].append((check, file, line["found"]))
    return [sorted(findings) for findings in found]


@pytest.mark.parametrize("audit", [None, full], ids=["quick", "full"])
def test_each_defect_stops_with_its_place_or_is_skipped(
    tmp_path, caplog, audit
):
    corpus = spoilt(tmp_path)
    rows = corpus.rows["test"]
    expected = [defect[-1 if audit else 1] for defect in DEFECTS] + 4 * [[]]
    with pytest.raises(CorpusError) as caught:
        corpus.prepare("test", audit=audit)
    assert listed(corpus) == [sorted(findings) for findings in expected]
    assert sorted(read_all(corpus.folder / "save")) == [
        *("audit.csv", "excluded.csv", "prepare.json")
    ]

    errors = [[f for f in found if f[0] not in WARNINGS] for found in expected]
    counts = Counter(check for found in errors for check, *_ in found)
    message = str(caught.value)
    assert f"errors in the corpus: {sum(counts.values())}, all" in message
    for check, count in counts.items():
        assert f"\n{check}: {count}, such as\n" in message
    # Of each kind five are shown.
    assert counts["empty name"] > 5
    assert message.count("expected a name, found none") == 5
    name, event = rows[0]["mixFile"][:-4], f"test/event/{rows[0]['eventFile']}"
    found = f"{event}: expected a WAV file, found none"
    assert f"  {METADATA} row 2: mixture {name}: {found}\n" in message
    assert "What to do: " in message and "--on_bad_rows=skip" in message

    corpus.prepare("test", audit=audit, on_bad_rows="skip")
    excluded = {line["row"]: line for line in corpus.read("excluded")}
    bad = [bool(found) for found in errors]
    assert set(excluded) == {
        str(n) for n, is_bad in enumerate(bad, 2) if is_bad
    }
    reason = f"missing file ({event})"
    assert list(excluded["2"].values()) == ["test", name, METADATA, "2", reason]
    names = [row["mixFile"][:-4] for row in rows]
    kept = sorted(n for n, is_bad in zip(names, bad) if not is_bad)
    for name in ("test_C", "test_metadata"):
        assert [line["ID"] for line in corpus.read(name)] == kept


def test_folders_and_columns_of_a_whole_split_are_rejected(tmp_path):
    corpus = MadeCorpus(tmp_path)
    path = corpus.root / "train/scene"
    path.rename(corpus.folder / "scene")
    path.symlink_to(corpus.folder / "scene")
    lost = [c for c in COLUMNS if c.endswith(("Start", "End"))]
    corpus.write(columns=[c for c in COLUMNS if c not in lost])
    with pytest.raises(CorpusError, match="train_final.csv row 2"):
        corpus.prepare("train", audit=full)
    details = ("row", "check", "file", "expected", "found")
    found = [tuple(line[k] for k in details) for line in corpus.read("audit")]
    names = [row["sceneFile"] for row in corpus.rows["train"]]
    link = f"{path} is a link to {corpus.folder / 'scene'}"
    expected = []
    for row, name in zip("2345", names):
        place = row, "folder leaves the corpus", f"train/scene/{name}"
        expected.append((*place, "a folder of the corpus", link))
        for c in lost:
            expected.append(
                (row, "missing column", "", f"a column {c}", "none")
            )
    assert sorted(found) == sorted(expected)


def test_root_subsets_and_files_may_be_links_that_stay(tmp_path):
    corpus = MadeCorpus(tmp_path)
    (corpus.root / "train").rename(corpus.folder / "disk2")
    (corpus.root / "train").symlink_to(corpus.folder / "disk2")
    path = corpus.path("sceneFile", 0, "val")
    (corpus.root / ".store").mkdir()
    path.rename(corpus.root / ".store/scene.wav")
    path.symlink_to("../../.store/scene.wav")
    (corpus.folder / "link").symlink_to(corpus.root)
    prepare_polsess(corpus.folder / "link", corpus.folder / "save", audit=full)
    assert corpus.read("audit") == []
    assert len(corpus.read("train_C")) == 4


def test_other_wav_files_are_read(tmp_path):
    containers = [
        written(subtype="PCM_24"),
        written(subtype="FLOAT"),
        written(format="WAVEX", subtype="PCM_16"),
        written(format="FLAC", subtype="PCM_16"),
        content(with_other_chunks),
        # As streaming programs write it.
        content(lambda whole: whole[:40] + b"\xff" * 4 + whole[44:]),
    ]
    corpus = MadeCorpus(tmp_path, {"test": (len(containers), 0)})
    for number, container in enumerate(containers):
        before = corpus.path("mixFile", number, "test").read_bytes()
        container(corpus, number)
        assert corpus.path("mixFile", number, "test").read_bytes() != before
    corpus.prepare("test", audit=full)
    assert corpus.read("audit") == []
    assert [row["duration"] for row in corpus.read("test_C")] == ["0.1"] * 6


def test_the_quick_audit_samples_200_mixtures_of_each_split(tmp_path):
    counts = {"train": (0, 3), "test": (0, 203)}
    corpus = MadeCorpus(tmp_path, counts, seconds=0.01)
    for subset, rows in corpus.rows.items():
        for number in range(len(rows)):
            path = corpus.path("sceneFile", number, subset)
            soundfile.write(path, np.full(80, np.nan), 8000, subtype="FLOAT")
    sampled = []
    for audit, check, count in (
        (None, "mixture is not the sum", 203),
        (None, "mixture is not the sum", 203),
        (full, "NaN or infinite samples", 206),
    ):
        with pytest.raises(CorpusError, match=f"{check}: {count},"):
            corpus.prepare("train", "test", audit=audit)
        sampled.append({line["ID"] for line in corpus.read("audit")})
        # The order of the metadata does not choose them.
        corpus.rows["test"].reverse()
        corpus.write("test")
    assert sampled[0] == sampled[1]
