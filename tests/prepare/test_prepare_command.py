"""The preparation as a command, and of as many mixtures as PolSESS has."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from corpora import MadeCorpus, read_all, read_csv, wav_path
from mixtures import EpochSampler, Mixer, load_mixtures
from prepare_polsess import prepare_polsess
from recipe import ROOT
from variants import default_variants

STATUS = Path("/proc/self/status")
SCRIPT = ROOT / "recipes/PolSESS/prepare_polsess.py"


def test_the_documented_command_prepares_two_corpora(tmp_path):
    one = dict.fromkeys(("train", "val", "test"), (1, 0))
    corpora = [
        MadeCorpus(tmp_path, one, "PolSESS_C_in"),
        MadeCorpus(
            tmp_path,
            {"train": (0, 2), "val": (0, 1), "test": (0, 1)},
            "PolSESS_C_out",
            seed=1,
        ),
    ]
    roots = [corpus.root for corpus in corpora]
    done = subprocess.run(
        [sys.executable, SCRIPT, "--data_folder", *roots]
        + ["--save_folder", tmp_path / "save"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "'train outdoor': 2, 'valid outdoor': 1, " in done.stderr
    prepare_polsess(roots, tmp_path / "called")
    assert read_all(tmp_path / "save") == read_all(tmp_path / "called")


def test_the_command_refuses_audits_and_skips(server, tmp_path):
    corpus = MadeCorpus(tmp_path)
    corpus.path("sceneFile").unlink()
    # Only the full audit finds it.
    path = corpus.path("eventFile", 1)
    path.rename(corpus.folder / "event.wav")
    path.symlink_to(corpus.folder / "event.wav")
    save = corpus.folder / "save"
    words = [SCRIPT, "--save_folder", save]
    ended = server.call(
        corpus.folder,
        *words,
        environment={"POLSESS_DATA_ROOT": str(corpus.root)},
    )
    assert ended.code == 1 and "Traceback" not in ended.output
    assert "errors in the corpus: 1, " in ended.output
    words += ["--data_folder", corpus.root, "--splits", "train", "test"]
    words += ["--audit", "full", "--on_bad_rows", "skip", "--n_jobs", 1]
    ended = server.call(corpus.folder, *words)
    assert ended.code == 0, ended.output
    assert "Rows are left out, see excluded.csv" in ended.output
    assert "'train outdoor': 2, 'test indoor': 1" in ended.output
    found = [line["reason"].split(" (")[0] for line in corpus.read("excluded")]
    assert sorted(found) == ["link leaves the corpus", "missing file"]
    assert list(json.loads((save / "prepare.json").read_text())) == [
        *("train", "test")
    ]


def peak_gib():
    """The most memory that this process had so far."""
    # Not ru_maxrss, which begins with the peak of the parent process.
    return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) / 2**20


def prepare(root, save):
    """Prepares the training mixtures; returns the memory that it took."""
    prepare_polsess(root, save, ["train"])
    return peak_gib()


def load(root, save):
    """Goes through an epoch, as a worker of a loader; returns the memory."""
    variants = default_variants("SB")
    rows = load_mixtures(save, "train", variants, root, 8000)
    mixer = Mixer("SB", variants, 1, 8000)
    assert len(list(EpochSampler(rows, mixer))) == 128000
    return peak_gib()


@pytest.mark.nightly
def test_128000_mixtures_fit_into_memory(tmp_path):
    corpus = MadeCorpus(tmp_path, {"train": (1, 1)})
    rows = corpus.rows["train"]
    for number in range(128000 - 2):
        row = dict(rows[number % 2])
        # Many names of one mixture; all share the components.
        row["mixFile"] = f"{number:06d}{row['mixFile']}"
        name = wav_path(corpus.root, row, "mixFile")
        os.link(corpus.path("mixFile", number % 2), name)
        row["speech1OryginalPath"] = f"C:\\emu\\SES{number % 500:04d}\\1.wav"
        rows.append(row)
    corpus.write()
    for function in (prepare, load):
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=fresh) as pool:
            folders = corpus.root, tmp_path / "save"
            assert pool.submit(function, *folders).result() < 2
    for variant, size in (("SER", 64000), ("E", 64000), ("C", 128000)):
        assert len(read_csv(tmp_path / f"save/train_{variant}.csv")) == size
