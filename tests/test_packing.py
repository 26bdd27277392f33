"""One file per mixture: the same samples, made anew when something changed.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import os
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audit import packer, packing
from audit.metadata import FILES
from broken_files import CHANGES, rewrite
from mixer import Mixer
from mmipc import TASKS, VARIANTS
from prepare_polsess import CorpusError, main, prepare_polsess
from recipe import hparams_of
from tiny_corpus import make_corpus, read_all, read_csv, wav_path
from train import dataio_prep

SPLITS = ("train", "valid", "test")


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 4 + 2 + 2 mixtures, and its rows."""
    return tmp_path / "Tiny", make_corpus(tmp_path / "Tiny", seconds=0.1)


def prepare(root, tmp_path, **options):
    """Prepares with packing; the packed files."""
    packed = tmp_path / "packed"
    prepare_polsess(root, tmp_path / "save", packed_folder=packed, **options)
    return {p.relative_to(packed): p for p in packed.glob("*/*.wav")}


def times(files):
    """When each file was written."""
    return {name: path.stat().st_mtime_ns for name, path in files.items()}


def first(root, rows, column="mixFile", subset="train"):
    """A file of the first row, and the name of what is packed of that row."""
    path = wav_path(root, rows[subset][0], column)
    return path, Path("train") / rows[subset][0]["mixFile"]


def test_a_channel_holds_a_file(corpus, tmp_path):
    files = prepare(corpus[0], tmp_path)
    rows = read_csv(tmp_path / "save" / "train_C.csv")
    assert len(files) == 8 and len(rows) == 4
    for row in rows:
        path = files[Path("train") / f"{row['ID']}.wav"]
        samples, rate = soundfile.read(path, dtype="int16")
        names = [row[column] for column in FILES if row[column]]
        assert samples.shape == (800, 8 if row["setting"] == "indoor" else 5)
        assert rate == 8000 and soundfile.info(path).subtype == "PCM_16"
        for channel, name in enumerate(names):
            source = name.replace("$data_root", str(corpus[0]))
            expected, _ = soundfile.read(source, dtype="int16")
            assert np.array_equal(samples[:, channel], expected)
    assert not list((tmp_path / "packed").rglob(f"{packer.TEMPORARY}*"))


def test_manifests_are_the_same_with_and_without(corpus, tmp_path):
    prepare(corpus[0], tmp_path)
    prepare_polsess(corpus[0], tmp_path / "plain")
    assert read_all(tmp_path / "save") == read_all(tmp_path / "plain")


@pytest.mark.parametrize("task", TASKS)
def test_items_are_equal(corpus, tmp_path, task):
    prepare(corpus[0], tmp_path)
    rows = read_csv(tmp_path / "save" / "train_C.csv")
    compared = set()
    for row, variant, seconds in itertools.product(
        rows, VARIANTS, (None, 0.05)
    ):
        files = [
            row[column].replace("$data_root", str(corpus[0]))
            for column in FILES
        ]
        packed = packing.packed_path(tmp_path / "packed", "train", row["ID"])
        mixer = Mixer(task, VARIANTS, 1, 8000, segment_seconds=seconds)
        for epoch in (1, 2):
            mixer.set_epoch(epoch)
            start = row["ID"], row["setting"], [variant], 0.1
            expected = mixer(*start, *files)
            # The other files are not even opened.
            nowhere = [file and "/nowhere" for file in files]
            found = mixer(*start, *nowhere, packed)
            for one, other in zip(expected[1:], found[1:]):
                assert one.dtype == other.dtype == torch.float32
                assert torch.equal(one, other)
        compared.add((row["setting"], variant))
    assert len(compared) == 2 * len(VARIANTS)


@pytest.mark.parametrize("split", SPLITS)
def test_the_pipeline_reads_packed_files_alone(corpus, tmp_path, split):
    options = {
        "data_folder": str(corpus[0]),
        "save_folder": str(tmp_path / "save"),
        "segment_seconds": 0.05,
    }
    prepare(corpus[0], tmp_path)
    plain = dataio_prep(hparams_of(**options), (split,))[split]
    expected = [plain[index] for index in range(len(plain))]
    for path in corpus[0].rglob("*.wav"):
        path.unlink()
    hparams = hparams_of(packed_folder=str(tmp_path / "packed"), **options)
    dataset = dataio_prep(hparams, (split,))[split]
    assert len(dataset) == len(expected)
    for index, item in enumerate(expected):
        for key, value in dataset[index].items():
            equal = torch.equal if torch.is_tensor(value) else str.__eq__
            assert equal(value, item[key]), key


EXPECTED = {
    "deleted": "no such file",
    "truncated": "found 398 samples at 8000 Hz in 8 channels",
    "rate": "found 800 samples at 16000 Hz in 8 channels",
    "shorter": "found 799 samples",
    "longer": "found 801 samples",
    "nan": "NaN or infinite",
    "emptied": "found Error opening",
    "garbage": "found Error opening",
    "channels": "found 800 samples at 8000 Hz in 5 channels",
}


@pytest.mark.parametrize("change", EXPECTED)
def test_a_packed_file_that_cannot_be_used_is_named(corpus, tmp_path, change):
    files = prepare(corpus[0], tmp_path)
    rows = read_csv(tmp_path / "save" / "train_SER.csv")
    path = str(files[Path("train") / f"{rows[0]['ID']}.wav"])
    changes = {
        **CHANGES,
        "channels": lambda path: rewrite(path, lambda x: x[:, :5]),
        "longer": lambda path: rewrite(path, lambda x: np.append(x, x[:1], 0)),
        "nan": lambda path: rewrite(
            path, lambda x: x * np.nan, subtype="FLOAT"
        ),
    }
    changes[change](path)
    mixer = Mixer("SB", VARIANTS, 1, 8000, segment_seconds=0.01)
    files = [rows[0][column] for column in FILES]
    with pytest.raises(ValueError) as caught:
        mixer("abc", "indoor", ["SER"], 0.1, *files, path)
    error = str(caught.value)
    assert f"mixture abc: {path}: expected" in error
    assert EXPECTED[change] in error and "leave --packed_folder out" in error


def test_nothing_is_packed_twice(corpus, tmp_path, caplog):
    before = times(prepare(corpus[0], tmp_path))
    record = tmp_path / "packed" / "train" / packer.RECORD
    content = record.read_bytes(), record.stat().st_mtime_ns
    with caplog.at_level("INFO"):
        assert times(prepare(corpus[0], tmp_path)) == before
    assert "up to date: reused" in caplog.text
    assert "train: 4 mixtures packed in" in caplog.text
    assert caplog.text.count("0 of them now") == 3
    assert content == (record.read_bytes(), record.stat().st_mtime_ns)


def change_source(root, rows, packed):
    os.utime(first(root, rows, "sceneFile")[0], ns=(1, 1))


def replace_source(root, rows, packed):
    rewrite(first(root, rows, "eventFile")[0], np.flip)


def change_packed(root, rows, packed):
    rewrite(packed / first(root, rows)[1], np.flipud)


def cut_packed(root, rows, packed):
    os.truncate(packed / first(root, rows)[1], 100)


def remove_packed(root, rows, packed):
    (packed / first(root, rows)[1]).unlink()


def cut_record(root, rows, packed):
    path = packed / "train" / packer.RECORD
    lines = path.read_text().splitlines()
    name = first(root, rows)[1].stem
    lines.sort(key=lambda line: line.startswith(name))
    path.write_text("\n".join(lines)[:-5])


@pytest.mark.parametrize(
    "change",
    [
        change_source,
        replace_source,
        change_packed,
        cut_packed,
        remove_packed,
        cut_record,
    ],
)
def test_what_changed_is_packed_anew(corpus, tmp_path, change):
    root, rows = corpus
    before = times(prepare(root, tmp_path))
    change(root, rows, tmp_path / "packed")
    files = prepare(root, tmp_path, on_bad_rows="skip", audit="none")
    after = times(files)
    assert {n for n in after if after[n] != before[n]} == {first(root, rows)[1]}
    path, name = first(root, rows, "eventFile")
    samples = soundfile.read(files[name], dtype="int16")[0]
    assert np.array_equal(samples[:, 4], soundfile.read(path, dtype="int16")[0])
    assert times(prepare(root, tmp_path, audit="none")) == after


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'"', b"", b"a,b,c\n"])
def test_a_damaged_record_costs_time_alone(corpus, tmp_path, content):
    prepare(corpus[0], tmp_path)
    path = tmp_path / "packed" / "train" / packer.RECORD
    sound = sorted(path.read_text().splitlines())
    path.write_bytes(content)
    after = times(prepare(corpus[0], tmp_path))
    assert [line[:5] for line in sorted(path.read_text().splitlines())] == [
        line[:5] for line in sound
    ]
    assert times(prepare(corpus[0], tmp_path)) == after


class Killed(BaseException):
    """What no code handles, as a kill."""


def test_a_killed_packing_goes_on_where_it_was(corpus, tmp_path, monkeypatch):
    calls, replace = [], os.replace

    def replace_or_die(source, target):
        if str(target).endswith(".wav") and "packed" in str(target):
            calls.append(target)
            if len(calls) == 3:
                raise Killed
        replace(source, target)

    # A killed process cleans nothing up.
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    monkeypatch.setattr(packer.os, "replace", replace_or_die)
    with pytest.raises(Killed):
        prepare(corpus[0], tmp_path, n_jobs=1)
    monkeypatch.undo()
    folder = tmp_path / "packed" / "train"
    assert list(folder.glob(f"{packer.TEMPORARY}*"))
    whole = times({p.name: p for p in folder.glob("*.wav")})
    assert len(whole) == 2
    prepare(corpus[0], tmp_path)
    assert not list(folder.glob(f"{packer.TEMPORARY}*"))
    after = times({p.name: p for p in folder.glob("*.wav")})
    assert len(after) == 4 and whole.items() <= after.items()


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_what_cannot_be_packed_without_loss_is_refused(
    corpus, tmp_path, subtype
):
    path, name = first(*corpus, "speaker1File")
    rewrite(path, subtype=subtype)
    with pytest.raises(CorpusError) as caught:
        prepare(corpus[0], tmp_path)
    error = str(caught.value)
    assert f"mixture {name.stem}: {path}: expected 800 samples" in error
    assert "PCM_16, found" in error and f", {subtype};" in error
    assert "leave --packed_folder out" in error
    prepare_polsess(corpus[0], tmp_path / "save")  # without it all is well


@pytest.mark.parametrize("change", ["deleted", "shorter", "garbage", "rate"])
def test_sources_are_what_the_manifest_says(corpus, tmp_path, change):
    """Where the audit looked at no file, packing does."""
    path, _ = first(*corpus, "sceneFile")
    CHANGES[change](path)
    with pytest.raises(CorpusError, match="expected") as caught:
        prepare(corpus[0], tmp_path, audit="none")
    assert str(path) in str(caught.value)


def test_what_the_disk_spoils_is_not_put_in_place(
    corpus, tmp_path, monkeypatch
):
    read = soundfile.read
    monkeypatch.setattr(
        soundfile, "read", lambda *a, **k: (read(*a, **k)[0] ^ 1, 8000)
    )
    with pytest.raises(CorpusError, match="does not hold what was written"):
        prepare(corpus[0], tmp_path, audit="none")
    assert not list((tmp_path / "packed").rglob("*.wav"))


def no_room(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_disk_without_room_is_said_before_and_while(
    corpus, tmp_path, monkeypatch
):
    usage = namedtuple("Usage", "free")(1000)
    with monkeypatch.context() as patch:
        patch.setattr(packing.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(CorpusError, match="GB of room, .* are needed"):
            prepare(corpus[0], tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(packer.wave.Wave_write, "writeframes", no_room)
        with pytest.raises(CorpusError, match="No space left.*make room"):
            prepare(corpus[0], tmp_path)
    assert not list((tmp_path / "packed").rglob("*.wav"))
    assert len(prepare(corpus[0], tmp_path)) == 8


@pytest.mark.parametrize("where", ["", "packed", "train", "link"])
def test_nothing_is_written_into_the_corpus(corpus, tmp_path, where):
    root, _ = corpus
    folder = root / where
    if where == "link":
        folder = tmp_path / "link"
        folder.symlink_to(root / "test")
    before = sorted(root.rglob("*"))
    with pytest.raises(CorpusError, match="lies in the corpus"):
        prepare_polsess(root, tmp_path / "save", packed_folder=folder)
    assert sorted(root.rglob("*")) == before
    assert not (tmp_path / "save").exists()


def test_a_folder_that_cannot_be_written_is_said_at_once(corpus, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "packed"
    with pytest.raises(CorpusError, match="cannot be written.*leave it out"):
        prepare_polsess(corpus[0], tmp_path / "save", packed_folder=folder)
    assert not (tmp_path / "save").exists()


def test_several_corpora_and_bad_rows(tmp_path):
    roots = [tmp_path / name for name in ("C_in", "C_out")]
    rows = make_corpus(roots[0], {"train": (2, 0)}, seconds=0.1)
    make_corpus(roots[1], {"train": (0, 2)}, seconds=0.1, seed=1)
    path, name = first(roots[0], rows)
    path.unlink()
    files = prepare(
        roots, tmp_path, splits=["train"], on_bad_rows="skip", n_jobs=2
    )
    assert len(files) == 3 and name not in files


def test_two_packings_at_once(corpus, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        jobs = [executor.submit(prepare, corpus[0], tmp_path) for _ in range(3)]
        files = [job.result() for job in jobs][0]
    assert len(files) == 8
    before = times(files)
    assert times(prepare(corpus[0], tmp_path)) == before


def test_the_command(corpus, tmp_path, capsys):
    arguments = ["--data_folder", str(corpus[0]), "--save_folder"]
    arguments += [str(tmp_path / "save"), "--packed_folder"]
    assert main([*arguments, str(tmp_path / "packed")]) == 0
    assert len(list((tmp_path / "packed").rglob("*.wav"))) == 8
    assert main([*arguments, str(corpus[0])]) == 1
    assert "What to do" in capsys.readouterr().err
