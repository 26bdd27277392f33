"""Manifests: what they hold, from corpora of any origin.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import shutil
from pathlib import Path

import pytest
from audit.full import audit as full
from corpora import (
    COLUMNS,
    make_corpus,
    metadata_path,
    read_all,
    wav_path,
    write_metadata,
)
from prepare_polsess import (
    MANIFEST_COLUMNS,
    VARIANT_SETTINGS,
    CorpusError,
    data_root,
    prepare_polsess,
)

from speechbrain.dataio.dataio import load_data_csv, read_audio_info

# Column of a manifest -> column of the metadata.
NAMES = {
    "mix_wav": "mixFile",
    "s1_wav": "speaker1File",
    "s2_wav": "speaker2File",
    "scene_wav": "sceneFile",
    "event_wav": "eventFile",
    "s1_reverb_wav": "reverbForSpeaker1",
    "s2_reverb_wav": "reverbForSpeaker2",
    "event_reverb_wav": "reverbForEvent",
}


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 4 + 2 + 2 mixtures, and its rows."""
    return tmp_path / "Tiny", make_corpus(tmp_path / "Tiny", seconds=0.1)


def manifest(folder, name, root):
    """A manifest as SpeechBrain loads it."""
    return load_data_csv(
        folder / f"{name}.csv", replacements={"data_root": data_root(root)}
    )


def test_manifests_hold_what_the_corpus_holds(corpus, tmp_path):
    root, rows = corpus
    prepare_polsess(root, tmp_path / "save")
    for split, subset in (
        ("train", "train"),
        ("valid", "val"),
        ("test", "test"),
    ):
        for variant, settings in VARIANT_SETTINGS.items():
            items = manifest(tmp_path / "save", f"{split}_{variant}", root)
            expected = {}
            for row in rows[subset]:
                setting = "indoor" if row["reverbForEvent"] else "outdoor"
                if setting in settings:
                    expected[Path(row["mixFile"]).stem] = setting, row
            assert list(items) == sorted(expected)
            for name, (setting, row) in expected.items():
                check_item(items[name], root, setting, row)


def check_item(item, root, setting, row):
    """Compares one item of a manifest with its row of the metadata."""
    assert ("ID", *item) == MANIFEST_COLUMNS
    assert item["duration"] == 0.1
    assert item["setting"] == setting
    assert item["sample_rate"] == "8000"
    assert item["ssr_db"] == row["SSR"]
    assert item["scene_class"] == row["sceneClass"]
    assert item["event_class"] == row["eventClass"]
    assert item["speaker1"] == row["speech1OryginalPath"].split("\\")[3][:7]
    assert item["speaker2"] == row["speech2OryginalPath"].split("\\")[5]
    for column, name in NAMES.items():
        path = str(wav_path(root, row, name)) if row[name] else ""
        assert item[column] == path


def test_header_and_paths_as_documented(corpus, tmp_path):
    root, _ = corpus
    prepare_polsess(root, tmp_path / "save")
    header, first = (
        (tmp_path / "save" / "test_SE.csv").read_text().split("\n")[:2]
    )
    assert header == (
        "ID,duration,setting,sample_rate,mix_wav,s1_wav,s2_wav,scene_wav,"
        "event_wav,s1_reverb_wav,s2_reverb_wav,event_reverb_wav,ssr_db,"
        "scene_class,event_class,speaker1,speaker2"
    )
    assert first.split(",")[4].startswith("$data_root/test/mix/")
    assert first.split(",")[9:12] == ["", "", ""]


def test_durations_are_real(tmp_path):
    rows = make_corpus(tmp_path / "A", {"test": (1, 1)}, 16000, 1.2345)["test"]
    prepare_polsess(tmp_path / "A", tmp_path / "save", "test")
    items = manifest(tmp_path / "save", "test_C", tmp_path / "A")
    for row in rows:
        info = read_audio_info(str(wav_path(tmp_path / "A", row, "mixFile")))
        item = items[Path(row["mixFile"]).stem]
        assert item["duration"] == info.num_frames / 16000 == 19752 / 16000
        assert item["sample_rate"] == "16000"


def test_prepared_twice_is_byte_identical(corpus, tmp_path):
    root, rows = corpus
    prepare_polsess(root, tmp_path / "first")
    write_metadata(metadata_path(root, "train"), rows["train"][::-1])
    prepare_polsess(root, tmp_path / "second")
    first, second = read_all(tmp_path / "first"), read_all(tmp_path / "second")
    del first["prepare.json"], second["prepare.json"]
    assert first == second
    # audit.csv, excluded.csv and test_metadata.csv with them
    assert len(first) == 3 * 8 + 3


def test_only_the_splits_asked_for(tmp_path):
    make_corpus(tmp_path / "Tiny", {"test": (1, 1)}, seconds=0.1)
    prepare_polsess(tmp_path / "Tiny", tmp_path / "save", splits=["test"])
    names = {path.name[:5] for path in (tmp_path / "save").glob("*_*.csv")}
    assert names == {"test_"}
    with pytest.raises(CorpusError, match="(?s)train: .*val: expected a fol"):
        prepare_polsess(tmp_path / "Tiny", tmp_path / "save")


def test_outdoor_only(tmp_path):
    make_corpus(tmp_path / "Tiny", {"test": (0, 2)}, seconds=0.1)
    prepare_polsess(tmp_path / "Tiny", tmp_path / "save", ["test"])
    sizes = {
        variant: len(manifest(tmp_path / "save", f"test_{variant}", tmp_path))
        for variant in VARIANT_SETTINGS
    }
    assert sizes == dict(SER=0, SR=0, ER=0, R=0, SE=2, S=2, E=2, C=2)


def test_two_roots_make_one_corpus(tmp_path):
    roots = [tmp_path / "PolSESS_C_in", tmp_path / "PolSESS_C_out"]
    rows = make_corpus(roots[0], {"test": (2, 0)}, seconds=0.1)["test"]
    rows += make_corpus(roots[1], {"test": (0, 3)}, seconds=0.1, seed=1)["test"]
    prepare_polsess([str(root) for root in roots], tmp_path / "save", ["test"])
    items = manifest(tmp_path / "save", "test_C", roots)
    assert list(items) == sorted(Path(row["mixFile"]).stem for row in rows)
    for item in items.values():
        for column in NAMES:
            assert not item[column] or Path(item[column]).is_file()
    text = (tmp_path / "save" / "test_SER.csv").read_text()
    assert "$data_root/PolSESS_C_in/test/mix/" in text


def test_roots_of_different_sample_rates_are_refused(tmp_path):
    make_corpus(tmp_path / "A", {"test": (0, 2)}, seconds=0.1)
    make_corpus(tmp_path / "B", {"test": (0, 1)}, 16000, 0.1, seed=1)
    with pytest.raises(CorpusError, match="sample rate differs: 5"):
        prepare_polsess(
            [tmp_path / "A", tmp_path / "B"], tmp_path / "save", ["test"]
        )


def older(path, rows):
    scene = ("sceneRandomDB", "sceneOffsetDB", "sceneVolumeGain")
    write_metadata(path, rows, [c for c in COLUMNS if c not in scene])


def windows(path, rows):
    content = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + content)


def quoted(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS[::-1], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)


def matlab_missing(path, rows):
    rows = [
        {key: value or "<missing>" for key, value in row.items()}
        for row in rows
    ]
    write_metadata(path, rows)


def nan_cells(path, rows):
    write_metadata(
        path,
        [{key: value or "NaN" for key, value in row.items()} for row in rows],
    )


def polish_windows(path, rows):
    rows = [{**row, "sceneOryginalPath": "C:\\łąka\\1.wav"} for row in rows]
    write_metadata(path, rows)
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1250"))


def in_the_root(path, rows):
    path.rename(path.parent.parent / path.name)


def renamed_corpus(path, rows):
    path.rename(path.with_name("corpus_PolSESS_v2_train_final.csv"))


def twice_the_same(path, rows):
    shutil.copy(path, path.parent.parent / path.name)


@pytest.mark.parametrize(
    "rewrite",
    [
        older,
        windows,
        quoted,
        matlab_missing,
        nan_cells,
        polish_windows,
        in_the_root,
        renamed_corpus,
        twice_the_same,
    ],
)
def test_metadata_of_other_origin_gives_the_same(corpus, tmp_path, rewrite):
    root, rows = corpus
    prepare_polsess(root, tmp_path / "first", ["train"])
    rewrite(metadata_path(root, "train"), rows["train"])
    prepare_polsess(root, tmp_path / "second", ["train"])
    first, second = read_all(tmp_path / "first"), read_all(tmp_path / "second")
    del first["prepare.json"], second["prepare.json"]
    assert first == second


def listing(root):
    """Path -> mode, size and times of change of all below, and of root."""
    status = {path: path.stat() for path in [root, *root.rglob("*")]}
    return {
        path: (s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for path, s in status.items()
    }


def test_read_only_corpus(corpus, tmp_path):
    root, _ = corpus
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = listing(root)
    try:
        prepare_polsess(root, tmp_path / "save", audit=full)
        # Root may write everywhere, but would leave other times.
        assert listing(root) == before
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
