"""Each defect of a corpus is found, named with its place, and can be skipped.

Authors
 * The PolSESS recipe team 2026
"""

import shutil

import numpy as np
import pytest
import soundfile
from audit.full import audit as full
from corpora import (
    COLUMNS,
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
REVERBS = COLUMNS[21:24]
PARAMETERS = COLUMNS[27:]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A corpus without defects, its rows and its training manifest."""
    folder = tmp_path_factory.mktemp("untouched")
    rows = make_corpus(folder / "Tiny")
    prepare_polsess(folder / "Tiny", folder / "save", audit=full)
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


def with_nan(samples):
    """Float samples with three that are none."""
    samples = samples / 32768
    samples[[0, 10, 100]] = np.nan, np.inf, -np.inf
    return samples


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


def emptied(columns, value="NaN"):
    """Cells of the first training row, which is indoor, lost their values."""

    def spoil(root, rows):
        rows["train"][0].update(dict.fromkeys(columns, value))
        write_metadata(metadata_path(root, "train"), rows["train"])

    return spoil


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


def link_folder(root, rows):
    path = root / "train" / "scene"
    path.rename(root.parent / "scene")
    path.symlink_to(root.parent / "scene")


def truncate_all(root, rows):
    for column in FOLDERS:
        if rows["train"][0][column]:
            path = wav_path(root, rows["train"][0], column)
            path.write_bytes(path.read_bytes()[:-1000])


def no_segments(root, rows):
    columns = [c for c in COLUMNS if c != "sceneStart"]
    write_metadata(metadata_path(root, "train"), rows["train"], columns)


def spoilt_flac(root, rows):
    """A header that is whole, of a file whose samples cannot be decoded."""
    path = wav_path(root, rows["train"][0], "eventFile")
    samples = read_wav(root, rows["train"][0], "eventFile")
    soundfile.write(path, samples, RATE, format="FLAC")
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(len(content) - 100))


DEFECTS = [
    (remove, "missing file", "expected a WAV file, found none"),
    (upper_case, "missing file", "expected a WAV file, found none"),
    (no_extension, "missing file", "expected a WAV file, found none"),
    (empty_file, "unreadable file", "expected a WAV file"),
    (garbage, "unreadable file", "expected a WAV file"),
    (half_a_header, "unreadable file", "expected a WAV file"),
    (truncate, "length differs", "found 7500"),
    (no_samples, "empty audio", "found 0 samples"),
    (shorter, "length differs", "expected 8000"),
    (shorter_mixture, "length differs", "found 7000"),
    (other_rate, "sample rate differs", "expected 8000 Hz"),
    (stereo, "not mono", "expected 1 channel, found 2"),
    (wrong_mixture, "mixture is not the sum", "below -40 dB, found -3"),
    (parent_folder, "name leaves the corpus", "found ../event/"),
    (absolute, "name leaves the corpus", "found /"),
    (renamed("eventFile", ".."), "name leaves the corpus", "found .."),
    (renamed("eventFile", "C:\\a.wav"), "name leaves the corpus", "C:\\a"),
    (renamed("eventFile", "$HOME.wav"), "unusable value", "/$HOME.wav"),
    (renamed("sceneClass", "a$b"), "unusable value", "found a$b"),
    (renamed("eventFile", ""), "empty name", "expected a name, found none"),
    (renamed("speaker1File", "NaN"), "empty name", "found none"),
    (emptied(REVERBS[:1], ""), "empty name", "reverbForSpeaker1"),
    (emptied(REVERBS[2:], "<missing>"), "empty name", "reverbForEvent"),
    (emptied(REVERBS), "empty name", "reverbForSpeaker2"),
    (emptied(REVERBS, "missing"), "empty name", "reverbForEvent"),
    (emptied(REVERBS + PARAMETERS[1:]), "empty name", "reverbForEvent"),
    (cut_row, "cut row", "found -2 cells"),
]
# Only the full audit finds these, or names them rightly.
FULL_DEFECTS = [
    (link, "link leaves the corpus", "found a link to"),
    (emptied(PARAMETERS), "partly filled", "3 of 3 files, 0 of 7"),
    (emptied(PARAMETERS, ""), "partly filled", "3 of 3 files, 0 of 7"),
    (emptied(PARAMETERS[:1]), "partly filled", "3 of 3 files, 6 of 7"),
    (emptied(PARAMETERS[6:]), "partly filled", "3 of 3 files, 6 of 7"),
    (truncate_all, "truncated file", "found 1000 bytes less"),
    (nan, "NaN or infinite samples", "found 3 samples"),
    (spoilt_flac, "unreadable file", "expected a WAV file"),
]
CASES = [
    *((None, *defect) for defect in DEFECTS),
    *((full, *defect) for defect in DEFECTS + FULL_DEFECTS),
    (None, nan, "mixture is not the sum", "found nan dB"),
    (None, spoilt_flac, "unreadable file", "expected WAV files"),
]


@pytest.mark.parametrize("audit, spoil, check, found", CASES)
def test_defect_stops_or_is_skipped(
    untouched, corpus, tmp_path, audit, spoil, check, found
):
    root, rows = corpus
    mixture = rows["train"][0]["mixFile"]
    spoil(root, rows)
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(root, tmp_path / "save", audit=audit)
    message = str(caught.value)
    line = 5 if spoil is cut_row else 2
    assert message.startswith("errors in the corpus: ")
    assert f"{check}: " in message
    assert found in message
    assert f"train/corpus_Tiny_train_final.csv row {line}: " in message
    assert "What to do: " in message and "--on_bad_rows=skip" in message
    assert not list((tmp_path / "save").glob("*_SER.csv"))
    listed = read_csv(tmp_path / "save" / "audit.csv")
    assert check in [row["check"] for row in listed]
    assert {row["row"] for row in listed} == {str(line)}

    prepare_polsess(root, tmp_path / "save", on_bad_rows="skip", audit=audit)
    excluded = read_csv(tmp_path / "save" / "excluded.csv")
    assert [row["row"] for row in excluded] == [str(line)]
    assert check in excluded[0]["reason"]
    kept = read_csv(tmp_path / "save" / "train_C.csv")
    mixture = mixture[: -len(".wav")]
    assert kept == [row for row in untouched[2] if row["ID"] != mixture]
    assert len(kept) == 3


@pytest.mark.parametrize(
    "spoil, check",
    [
        (link_folder, "folder leaves the corpus: 4"),
        (no_segments, "missing column: 4"),
    ],
)
def test_full_audit_rejects_a_whole_split(corpus, tmp_path, spoil, check):
    root, rows = corpus
    spoil(root, rows)
    with pytest.raises(
        CorpusError, match=f"{check}(.*\n)*.*train_final.csv row"
    ):
        prepare_polsess(root, tmp_path / "save", audit=full)


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


@pytest.mark.parametrize(
    "options",
    CONTAINERS,
    ids=lambda options: getattr(options, "__name__", str(options)),
)
def test_other_wav_files_are_read(corpus, tmp_path, options):
    root, rows = corpus
    for column in FOLDERS:
        path = wav_path(root, rows["train"][0], column)
        samples = read_wav(root, rows["train"][0], column)
        if callable(options):
            path.write_bytes(options(path.read_bytes()))
        else:
            soundfile.write(path, samples / 32768, RATE, **options)
    prepare_polsess(root, tmp_path / "save", audit=full)
    assert read_csv(tmp_path / "save" / "audit.csv") == []
    items = read_csv(tmp_path / "save" / "train_C.csv")
    assert {item["duration"] for item in items} == {"1.0"}
