"""Each defect of a corpus is found, named with its place, and can be skipped.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import shutil

import numpy as np
import pytest
import soundfile
from prepare_polsess import CorpusError, prepare_polsess
from tiny_corpus import (
    COLUMNS,
    FOLDERS,
    make_corpus,
    metadata_path,
    read_wav,
    wav_path,
    write_metadata,
)

RATE = 8000
DB = 10 ** (1 / 20)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A corpus without defects, its rows and its training manifest."""
    folder = tmp_path_factory.mktemp("untouched")
    rows = make_corpus(folder / "Tiny")
    prepare_polsess(folder / "Tiny", folder / "save")
    assert read_csv(folder / "save" / "audit.csv") == []
    return folder / "Tiny", rows, read_csv(folder / "save" / "train_C.csv")


@pytest.fixture
def corpus(untouched, tmp_path):
    """A copy to spoil."""
    root, rows, _ = untouched
    shutil.copytree(root, tmp_path / "Tiny")
    return tmp_path / "Tiny", {
        subset: [dict(row) for row in of_subset]
        for subset, of_subset in rows.items()
    }


def read_csv(path):
    """The rows of a CSV as dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rewrite(root, rows, column, change, rate=RATE, subtype="PCM_16"):
    """Changes the samples of a file of the first training row."""
    path = wav_path(root, rows["train"][0], column)
    samples = change(read_wav(root, rows["train"][0], column))
    soundfile.write(path, samples, rate, subtype=subtype)


def rename_in_metadata(root, rows, column, name):
    """Changes a cell of the first training row."""
    rows["train"][0][column] = name
    write_metadata(metadata_path(root, "train"), rows["train"])


def with_nan(samples):
    """Float samples with three that are none."""
    samples = samples / 32768
    samples[[0, 10, 100]] = np.nan, np.inf, -np.inf
    return samples


def with_residue(level_db):
    """Adds a residue whose level against the mixture is known."""

    def add(samples):
        sign = np.where(np.arange(len(samples)) % 2, 1, -1)
        size = np.sqrt(np.mean(samples.astype(float) ** 2)) * DB**level_db
        return samples + np.round(sign * size).astype(np.int16)

    return add


def remove(root, rows):
    wav_path(root, rows["train"][0], "eventFile").unlink()


def upper_case(root, rows):
    path = wav_path(root, rows["train"][0], "eventFile")
    path.rename(path.with_suffix(".WAV"))


def no_extension(root, rows):
    name = rows["train"][0]["eventFile"][: -len(".wav")]
    rename_in_metadata(root, rows, "eventFile", name)


def empty_file(root, rows):
    wav_path(root, rows["train"][0], "eventFile").write_bytes(b"")


def garbage(root, rows):
    wav_path(root, rows["train"][0], "eventFile").write_bytes(b"noise" * 99)


def half_a_header(root, rows):
    path = wav_path(root, rows["train"][0], "eventFile")
    path.write_bytes(path.read_bytes()[:30])


def truncate(root, rows):
    path = wav_path(root, rows["train"][0], "eventFile")
    path.write_bytes(path.read_bytes()[:-1000])


def no_samples(root, rows):
    rewrite(root, rows, "eventFile", lambda samples: samples[:0])


def shorter(root, rows):
    rewrite(root, rows, "eventFile", lambda samples: samples[:7000])


def shorter_mixture(root, rows):
    rewrite(root, rows, "mixFile", lambda samples: samples[:7000])


def other_rate(root, rows):
    rewrite(root, rows, "eventFile", lambda samples: samples, rate=16000)


def stereo(root, rows):
    rewrite(root, rows, "eventFile", lambda x: np.stack([x, x], axis=1))


def nan(root, rows):
    rewrite(root, rows, "eventFile", with_nan, subtype="FLOAT")


def wrong_mixture(root, rows):
    rewrite(root, rows, "mixFile", with_residue(-39))


def renamed(column, name):
    """A defect of a name in the metadata."""
    return lambda root, rows: rename_in_metadata(root, rows, column, name)


def parent_folder(root, rows):
    path = wav_path(root, rows["train"][0], "eventFile")
    rename_in_metadata(root, rows, "eventFile", f"../event/{path.name}")


def absolute(root, rows):
    path = wav_path(root, rows["train"][0], "eventFile")
    rename_in_metadata(root, rows, "eventFile", str(path))


def link(root, rows):
    path = wav_path(root, rows["train"][0], "eventFile")
    outside = root.parent / "outside.wav"
    path.rename(outside)
    path.symlink_to(outside)


def cut_row(root, rows):
    """The metadata end within the only row: the others come before it."""
    path = metadata_path(root, "train")
    first, *others = rows["train"]
    write_metadata(path, [*others, first])
    text = path.read_text()
    path.write_text(text[: text.rindex(",0.5,0.5")])


DEFECTS = [
    (remove, "missing file", "expected a file, found none"),
    (upper_case, "missing file", "expected a file, found none"),
    (no_extension, "missing file", "expected a file, found none"),
    (empty_file, "zero-byte file", "found 0 bytes"),
    (garbage, "unreadable file", "expected a WAV file"),
    (half_a_header, "unreadable file", "expected a WAV file"),
    (truncate, "truncated file", "found 1000 bytes less"),
    (no_samples, "empty audio", "found 0 samples"),
    (shorter, "length differs", "expected 8000 samples"),
    (shorter_mixture, "length differs", "found 7000"),
    (other_rate, "sample rate differs", "expected 8000 Hz"),
    (stereo, "not mono", "expected 1 channel, found 2"),
    (nan, "NaN or infinite samples", "found 3 samples"),
    (wrong_mixture, "mixture is not the sum", "below -40 dB, found -3"),
    (parent_folder, "name leaves the corpus", "found ../event/"),
    (absolute, "name leaves the corpus", "found /"),
    (renamed("eventFile", ".."), "name leaves the corpus", "found .."),
    (renamed("eventFile", "C:\\a.wav"), "name leaves the corpus", "C:\\a"),
    (link, "link leaves the corpus", "found a link to"),
    (renamed("eventFile", "$HOME.wav"), "unusable value", "found $HOME.wav"),
    (renamed("sceneClass", "a$b"), "unusable value", "found a$b"),
    (renamed("eventFile", ""), "empty name", "expected a name, found none"),
    (renamed("speaker1File", "NaN"), "empty name", "found none"),
    (renamed("reverbForEvent", ""), "partly filled", "found 2 of 3"),
    (renamed("reverbForEvent", "<missing>"), "partly filled", "2 of 3"),
    (cut_row, "cut row", "found 32"),
]


@pytest.mark.parametrize("spoil, check, found", DEFECTS)
def test_defect_stops_or_is_skipped(
    untouched, corpus, tmp_path, spoil, check, found
):
    root, rows = corpus
    mixture = rows["train"][0]["mixFile"]
    spoil(root, rows)
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(root, tmp_path / "save")
    message = str(caught.value)
    line = 5 if spoil is cut_row else 2
    assert f"{check}: 1\n" in message
    assert found in message
    assert f"train/corpus_Tiny_train_final.csv row {line}: " in message
    assert "What to do: " in message and "--on_bad_rows=skip" in message
    assert not list((tmp_path / "save").glob("*_SER.csv"))
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert check in [row["check"] for row in listed]

    prepare_polsess(root, tmp_path / "save", on_bad_rows="skip")
    excluded = read_csv(tmp_path / "save" / "excluded.csv")
    assert [row["row"] for row in excluded] == [str(line)]
    assert check in excluded[0]["reason"]
    kept = read_csv(tmp_path / "save" / "train_C.csv")
    mixture = mixture[: -len(".wav")]
    assert kept == [row for row in untouched[2] if row["ID"] != mixture]
    assert len(kept) == 3


def test_all_errors_are_reported_together(corpus, tmp_path):
    root, rows = corpus
    remove(root, rows)
    wav_path(root, rows["train"][1], "mixFile").write_bytes(b"")
    wav_path(root, rows["test"][0], "sceneFile").unlink()
    metadata_path(root, "val").unlink()
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(root, tmp_path / "save")
    message = str(caught.value)
    assert message.startswith("4 errors")
    for part in (
        "missing metadata: 1",
        "missing file: 2",
        "zero-byte file: 1",
        rows["train"][0]["eventFile"],
        rows["train"][1]["mixFile"],
        rows["test"][0]["sceneFile"],
    ):
        assert part in message


def test_many_errors_are_capped_but_counted_and_listed(tmp_path):
    rows = make_corpus(tmp_path / "Tiny", {"test": (0, 9)}, seconds=0.1)["test"]
    for row in rows[:8]:
        wav_path(tmp_path / "Tiny", row, "sceneFile").unlink()
    with pytest.raises(CorpusError, match="missing file: 8") as caught:
        prepare_polsess(tmp_path / "Tiny", tmp_path / "save", ["test"])
    assert "... and 3 more" in str(caught.value)
    assert len(read_csv(tmp_path / "save" / "audit.csv")) == 8


def test_nothing_left_is_an_error_even_when_skipping(tmp_path):
    rows = make_corpus(tmp_path / "Tiny", {"test": (1, 0)})["test"]
    wav_path(tmp_path / "Tiny", rows[0], "sceneFile").unlink()
    with pytest.raises(CorpusError, match="no rows left"):
        prepare_polsess(
            tmp_path / "Tiny", tmp_path / "save", "test", on_bad_rows="skip"
        )


def with_other_chunks(content):
    """A WAV file with a chunk of odd length before and one after the audio."""
    before, after = b"LIST\5\0\0\0abcde\0", b"junk\2\0\0\0ab"
    return content[:36] + before + content[36:] + after


def with_unknown_length(content):
    """A WAV file as streaming programs write it."""
    return content[:40] + b"\xff\xff\xff\xff" + content[44:]


CONTAINERS = [
    {"subtype": "PCM_24"},
    {"subtype": "FLOAT"},
    {"subtype": "PCM_16", "format": "WAVEX"},
    {"subtype": "PCM_16", "format": "FLAC"},
    with_other_chunks,
    with_unknown_length,
]


def no_metadata(path, rows):
    path.unlink()


def no_column(path, rows):
    write_metadata(path, rows, [c for c in COLUMNS if c != "sceneFile"])


def header_only(path, rows):
    write_metadata(path, [])


def no_bytes(path, rows):
    path.write_bytes(b"")


def two_that_differ(path, rows):
    write_metadata(path.with_name("corpus_A_train_final.csv"), rows)
    path.rename(path.with_name("corpus_B_train_final.csv"))
    write_metadata(path.with_name("corpus_B_train_final.csv"), rows[:1])


def no_subset(path, rows):
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    "spoil, parts",
    [
        (no_metadata, ["missing metadata: 1", "corpus_Tiny_train_final.csv"]),
        (no_column, ["missing column: 1", "a column sceneFile"]),
        (header_only, ["no rows: 1", "only a header"]),
        (no_bytes, ["missing column: 31"]),
        (two_that_differ, ["ambiguous metadata: 1", "corpus_B_train"]),
        (no_subset, ["missing split: 1", "found only val, test"]),
    ],
)
@pytest.mark.parametrize("on_bad_rows", ["error", "skip"])
def test_unusable_metadata_always_stops(
    corpus, tmp_path, spoil, parts, on_bad_rows
):
    root, rows = corpus
    spoil(metadata_path(root, "train"), rows["train"])
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(root, tmp_path / "save", on_bad_rows=on_bad_rows)
    for part in parts:
        assert part in str(caught.value)


def test_no_usable_metadata_at_all(tmp_path):
    make_corpus(tmp_path / "Tiny", {"test": (1, 1)}, seconds=0.1)
    write_metadata(metadata_path(tmp_path / "Tiny", "test"), [])
    for audit in ("quick", "none"):
        with pytest.raises(CorpusError, match="no rows: 1"):
            prepare_polsess(
                tmp_path / "Tiny", tmp_path / "save", "test", audit=audit
            )


@pytest.mark.parametrize("options", CONTAINERS, ids=str)
def test_other_wav_files_are_read(corpus, tmp_path, options):
    root, rows = corpus
    for column in FOLDERS:
        path = wav_path(root, rows["train"][0], column)
        samples = read_wav(root, rows["train"][0], column)
        if callable(options):
            path.write_bytes(options(path.read_bytes()))
        else:
            soundfile.write(path, samples / 32768, RATE, **options)
    prepare_polsess(root, tmp_path / "save")
    assert read_csv(tmp_path / "save" / "audit.csv") == []
    items = read_csv(tmp_path / "save" / "train_C.csv")
    assert {item["duration"] for item in items} == {"1.0"}


def test_missing_corpus_says_how_to_get_one(tmp_path):
    for folder in (tmp_path / "nowhere", "", None, []):
        with pytest.raises(CorpusError) as caught:
            prepare_polsess(folder, tmp_path / "save")
        for part in ("make demo", "--data_folder", "POLSESS_DATA_ROOT"):
            assert part in str(caught.value)


def test_parent_of_corpora_names_them(tmp_path):
    for name in ("PolSESS_C_in", "PolSESS_C_out"):
        make_corpus(tmp_path / name, {"test": (1, 1)}, seconds=0.1)
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(tmp_path, tmp_path / "save")
    expected = f"{tmp_path / 'PolSESS_C_in'} {tmp_path / 'PolSESS_C_out'}"
    assert f"--data_folder {expected}" in str(caught.value)


def test_folder_that_is_a_link_out_of_the_corpus_stops(corpus, tmp_path):
    root, _ = corpus
    (root / "train" / "scene").rename(tmp_path / "elsewhere")
    (root / "train" / "scene").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match="folder leaves the corpus: 1"):
        prepare_polsess(root, tmp_path / "save", on_bad_rows="skip")


def test_root_subsets_and_files_may_be_links_that_stay(corpus, tmp_path):
    root, rows = corpus
    (root / "train").rename(tmp_path / "disk2")
    (root / "train").symlink_to(tmp_path / "disk2")
    path = wav_path(root, rows["val"][0], "sceneFile")
    (root / ".store").mkdir()
    path.rename(root / ".store" / "scene.wav")
    path.symlink_to("../../.store/scene.wav")
    (tmp_path / "link").symlink_to(root)
    prepare_polsess(tmp_path / "link", tmp_path / "save")
    assert len(read_csv(tmp_path / "save" / "train_C.csv")) == 4


def test_different_rows_of_one_mixture(corpus, tmp_path):
    root, rows = corpus
    other = {**rows["train"][0], "eventFile": rows["train"][1]["eventFile"]}
    write_metadata(metadata_path(root, "train"), [*rows["train"], other])
    with pytest.raises(CorpusError, match="conflicting rows: 2"):
        prepare_polsess(root, tmp_path / "save")
    prepare_polsess(root, tmp_path / "save", on_bad_rows="skip")
    excluded = read_csv(tmp_path / "save" / "excluded.csv")
    assert [row["row"] for row in excluded] == ["2", "6"]


def test_one_mixture_in_two_corpora(corpus, tmp_path):
    root, rows = corpus
    shutil.copytree(root, tmp_path / "Copy")
    with pytest.raises(
        CorpusError, match="mixture in two corpora: 4"
    ) as caught:
        prepare_polsess([root, tmp_path / "Copy"], tmp_path / "save", ["train"])
    assert "found also in Tiny/train/" in str(caught.value)


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
        prepare_polsess(root, tmp_path / "save", audit="full")
    listed = read_csv(tmp_path / "save" / "audit.csv")
    if check is None:
        assert listed == []
        return
    assert [line["check"] for line in listed] == [check]
    assert listed[0]["severity"] == "warning"
    assert listed[0]["row"] == "2" and listed[0]["split"] == "train"
    assert listed[0]["file"].endswith(row[column])
    assert found in listed[0]["found"]
    assert f"train: {check}: 1 mixtures" in caplog.text
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
    prepare_polsess(root, tmp_path / "save")
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
    with caplog.at_level("WARNING"):
        prepare_polsess(root, tmp_path / "save")
    listed = read_csv(tmp_path / "save" / "audit.csv")
    kinds = {"scene": ["scene"], "event": ["recording"]}.get(
        column[:5], ["recording", "speaker"]
    )
    assert [line["check"] for line in listed] == [f"shared {k}" for k in kinds]
    assert {line["row"] for line in listed} == {"3"}
    for kind in kinds:
        expected = f"test: shared {kind} with train (1 different): 1 mixtures"
        assert expected in caplog.text


def test_same_speaker_twice(corpus, tmp_path):
    root, rows = corpus
    path = rows["train"][0]["speech1OryginalPath"].replace("sent", "word")
    rename_in_metadata(root, rows, "speech2OryginalPath", path)
    prepare_polsess(root, tmp_path / "save")
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert [line["check"] for line in listed] == ["same speaker twice"]
    assert listed[0]["found"] == "SES0001"


def test_quick_audit_samples_200_mixtures_per_split(tmp_path):
    root = tmp_path / "Tiny"
    rows = make_corpus(root, {"test": (0, 203)}, seconds=0.01)["test"]
    for row in rows:
        path = wav_path(root, row, "sceneFile")
        soundfile.write(path, np.full(80, np.nan), RATE, subtype="FLOAT")
    for audit, count in (("quick", 200), ("full", 203)):
        with pytest.raises(CorpusError, match=f"infinite samples: {count}"):
            prepare_polsess(root, tmp_path / "save", "test", audit=audit)
