"""Manifests: what they hold, when they are reused, and that they are whole.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import prepare_polsess as module
import pytest
from prepare_polsess import (
    MANIFEST_COLUMNS,
    VARIANT_SETTINGS,
    CorpusError,
    data_root,
    prepare_polsess,
)
from tiny_corpus import (
    COLUMNS,
    FOLDERS,
    make_corpus,
    metadata_path,
    wav_path,
    write_metadata,
)

from speechbrain.dataio.dataio import load_data_csv, read_audio_info

SCRIPT = Path(module.__file__)

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


def read_all(folder):
    """File name -> bytes of everything in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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
    assert ["ID", *item] == MANIFEST_COLUMNS
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
    assert len(first) == 3 * 8 + 2


def test_only_the_splits_asked_for(tmp_path):
    make_corpus(tmp_path / "Tiny", {"test": (1, 1)}, seconds=0.1)
    prepare_polsess(tmp_path / "Tiny", tmp_path / "save", splits=["test"])
    names = {path.name[:5] for path in (tmp_path / "save").glob("*_*.csv")}
    assert names == {"test_"}
    with pytest.raises(CorpusError, match="missing split: 2"):
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


def test_read_only_corpus(corpus, tmp_path):
    root, _ = corpus
    before = sorted(path for path in root.rglob("*"))
    for path in [root, *before]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    prepare_polsess(root, tmp_path / "save")
    assert sorted(path for path in root.rglob("*")) == before
    for path in [root, *before]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_reused_when_nothing_changed(corpus, tmp_path, caplog):
    root, _ = corpus
    prepare_polsess(root, tmp_path / "save")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "save").iterdir()}
    with caplog.at_level("INFO"):
        prepare_polsess(root, tmp_path / "save")
        prepare_polsess(root, tmp_path / "save", splits=["test"])
    assert caplog.text.count("up to date: reused") == 2
    assert times == {
        p: p.stat().st_mtime_ns for p in (tmp_path / "save").iterdir()
    }


def test_another_split_keeps_the_former_ones(corpus, tmp_path, caplog):
    root, rows = corpus
    # A repeated row each, so that both splits have something in audit.csv.
    for subset in ("train", "test"):
        repeated = [*rows[subset], rows[subset][0]]
        write_metadata(metadata_path(root, subset), repeated)
    prepare_polsess(root, tmp_path / "save", ["train"])
    prepare_polsess(root, tmp_path / "save", ["test"])
    text = (tmp_path / "save" / "audit.csv").read_text()
    assert text.count("repeated row") == 2
    with caplog.at_level("INFO"):
        prepare_polsess(root, tmp_path / "save", ["train", "test"])
    assert "up to date: reused" in caplog.text


def change_metadata(root, rows, save):
    rows["train"][0]["SSR"] = "5"
    write_metadata(metadata_path(root, "train"), rows["train"])


def change_audio(root, rows, save):
    path = wav_path(root, rows["train"][0], "mixFile")
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def change_manifest(root, rows, save):
    with open(save / "train_SER.csv", "a") as file:
        file.write("mine\n")


def remove_manifest(root, rows, save):
    (save / "train_SER.csv").unlink()


def remove_audit(root, rows, save):
    (save / "audit.csv").unlink()


def spoil_records(root, rows, save):
    (save / "prepare.json").write_text('["something else"]')


def change_record(root, rows, save):
    (save / "prepare.json").write_text('{"train": {"inputs": "0"}}')


@pytest.mark.parametrize(
    "change, reason",
    [
        (change_metadata, "the train corpus, an option or the script"),
        (change_audio, "the train corpus, an option or the script"),
        (change_manifest, "train_SER.csv was changed or removed"),
        (remove_manifest, "train_SER.csv was changed or removed"),
        (remove_audit, "audit.csv was removed"),
        (spoil_records, "no earlier preparation of train"),
        (change_record, "no earlier preparation of train"),
    ],
)
def test_rebuilt_when_something_changed(
    corpus, tmp_path, caplog, change, reason
):
    root, rows = corpus
    prepare_polsess(root, tmp_path / "save")
    change(root, rows, tmp_path / "save")
    with caplog.at_level("INFO"):
        prepare_polsess(root, tmp_path / "save")
    assert reason in caplog.text
    prepare_polsess(root, tmp_path / "fresh")
    assert read_all(tmp_path / "save") == read_all(tmp_path / "fresh")


def test_rebuilt_with_other_options(corpus, tmp_path, caplog):
    root, _ = corpus
    for options in ({}, {"audit": "full"}, {"on_bad_rows": "skip"}):
        caplog.clear()
        with caplog.at_level("INFO"):
            prepare_polsess(root, tmp_path / "save", **options)
        assert "up to date: reused" not in caplog.text


def test_errors_void_the_former_preparation(corpus, tmp_path):
    root, rows = corpus
    prepare_polsess(root, tmp_path / "save")
    path = wav_path(root, rows["train"][0], "sceneFile")
    path.rename(tmp_path / "scene.wav")
    with pytest.raises(CorpusError):
        prepare_polsess(root, tmp_path / "save")
    (tmp_path / "scene.wav").rename(path)
    prepare_polsess(root, tmp_path / "save")
    assert (tmp_path / "save" / "audit.csv").read_text().count("\n") == 1


def test_skip_prep_and_other_files_are_left_alone(corpus, tmp_path):
    prepare_polsess(corpus[0], tmp_path / "save", skip_prep=True)
    assert not (tmp_path / "save").exists()
    (tmp_path / "save").mkdir()
    (tmp_path / "save" / "train_mine.csv").write_text("mine")
    prepare_polsess(corpus[0], tmp_path / "save")
    assert (tmp_path / "save" / "train_mine.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "options", [{"splits": ["val"]}, {"audit": "all"}, {"on_bad_rows": "no"}]
)
def test_unknown_options_name_the_known_ones(tmp_path, options):
    with pytest.raises(ValueError, match="choose from"):
        prepare_polsess(tmp_path, tmp_path / "save", **options)


def test_two_preparations_at_once(corpus, tmp_path):
    root, _ = corpus
    prepare_polsess(root, tmp_path / "alone")
    with ThreadPoolExecutor(4) as executor:
        for result in [
            executor.submit(prepare_polsess, root, tmp_path / "save")
            for _ in range(4)
        ]:
            result.result()
    assert read_all(tmp_path / "save") == read_all(tmp_path / "alone")


# A preparation that kills itself at the n-th call of a function.
KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
import prepare_polsess
from audit import audio
def kill_at(owner, name, number):
    real, calls = getattr(owner, name), []
    def function(*arguments):
        calls.append(1)
        if len(calls) > number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    setattr(owner, name, function)
kill_at({owner}, {name!r}, {number})
prepare_polsess.prepare_polsess({root!r}, {save!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "owner, name, number",
    [
        ("audio", "_read_header", 9),
        ("Path", "write_bytes", 5),
        ("os", "replace", 7),
    ],
)
def test_a_killed_preparation_leaves_whole_files(
    corpus, tmp_path, owner, name, number
):
    root, _ = corpus
    save = tmp_path / "save"
    script = KILLED.format(
        folder=str(SCRIPT.parent),
        owner=owner,
        name=name,
        number=number,
        root=str(root),
        save=str(save),
    )
    process = subprocess.run([sys.executable, "-c", script], timeout=60)
    assert process.returncode == -signal.SIGKILL
    prepare_polsess(root, tmp_path / "whole")
    whole = read_all(tmp_path / "whole")
    left = [path for path in save.glob("*") if path.is_file()]
    assert len(left) == (number if name == "replace" else 0)
    for path in left:
        assert path.read_bytes() == whole[path.name]
    # What it left behind is old by the time of the next preparation.
    for folder in save.glob(".prepare_*"):
        os.utime(folder, (0, 0))
    prepare_polsess(root, save)
    assert read_all(save) == whole


@pytest.mark.slow
def test_command(corpus, tmp_path):
    root, rows = corpus
    wav_path(root, rows["train"][0], "sceneFile").unlink()
    command = [
        sys.executable,
        str(SCRIPT),
        "--save_folder",
        str(tmp_path / "s"),
    ]
    environment = {**os.environ, "POLSESS_DATA_ROOT": str(root)}
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 1
    assert "missing file: 1" in process.stderr
    assert "Traceback" not in process.stderr
    command += ["--data_folder", str(root), "--splits", "train", "test"]
    command += ["--audit", "full", "--on_bad_rows", "skip"]
    process = subprocess.run(
        command, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
    assert "train outdoor: 2 mixtures, 0.00 hours" in process.stderr
    assert "1 mixtures left out" in process.stderr
    record = json.loads((tmp_path / "s" / "prepare.json").read_text())
    assert sorted(record) == ["test", "train"]


# 128,000 rows without audio: seconds and resident memory in a fresh process.
SCALE = """
import resource, sys, time
sys.path.insert(0, {folder!r})
from prepare_polsess import prepare_polsess
start = time.time()
prepare_polsess({root!r}, {save!r}, ["train"], audit="none")
unit = 2**30 if sys.platform == "darwin" else 2**20
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
print(time.time() - start, peak)
"""


@pytest.mark.slow
def test_128000_mixtures_fit_into_memory(tmp_path):
    root = tmp_path / "Tiny"
    rows = make_corpus(root, {"train": (1, 1)}, seconds=0.1)["train"]
    for number in range(128000 - 2):
        row = dict(rows[number % 2])
        for column in FOLDERS:
            row[column] = row[column] and f"{number:06d}{row[column]}"
        row["speech1OryginalPath"] = f"C:\\emu\\SES{number % 500:04d}\\1.wav"
        rows.append(row)
    write_metadata(metadata_path(root, "train"), rows)
    script = SCALE.format(
        folder=str(SCRIPT.parent), root=str(root), save=str(tmp_path / "save")
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    seconds, peak_gib = map(float, process.stdout.split())
    print(f"{seconds:.1f} s, {peak_gib:.2f} GiB")
    assert peak_gib < 2
    for variant, size in (("SER", 64000), ("E", 64000), ("C", 128000)):
        with open(tmp_path / "save" / f"train_{variant}.csv") as file:
            assert sum(1 for _ in file) == size + 1
