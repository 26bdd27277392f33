"""The preparation as a process: its command, kills, time and memory.

Authors
 * The PolSESS recipe team 2026
"""

import json
import os
import signal
import subprocess
import sys

import pytest
from corpora import (
    make_corpus,
    metadata_path,
    read_all,
    wav_path,
    write_metadata,
)
from prepare_polsess import prepare_polsess
from recipe import ROOT

SCRIPT = ROOT / "recipes/PolSESS/prepare_polsess.py"


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 4 + 2 + 2 mixtures, and its rows."""
    return tmp_path / "Tiny", make_corpus(tmp_path / "Tiny", seconds=0.1)


# A preparation that kills itself at the n-th call of a function.
KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
import prepare_polsess
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


@pytest.mark.parametrize(
    "owner, name, number",
    [
        ("prepare_polsess", "_read_header", 9),
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
    prepare_polsess(root, save)
    assert read_all(save) == whole


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
    assert "'train outdoor': 2" in process.stderr
    assert "Rows are left out, see excluded.csv" in process.stderr
    record = json.loads((tmp_path / "s" / "prepare.json").read_text())
    assert sorted(record) == ["test", "train"]


# Not ru_maxrss on Linux, which begins with the peak of the parent process.
PEAK = """
import pathlib, resource, sys, time
def peak_gib():
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20
"""
# 128,000 rows: seconds and resident memory in a fresh process.
SCALE = """
sys.path.insert(0, {folder!r})
from prepare_polsess import prepare_polsess
start = time.time()
prepare_polsess({root!r}, {save!r}, ["train"])
print(time.time() - start, peak_gib())
"""


# What a loader worker of the training holds, and a shuffled epoch over it.
TRAINING = """
sys.path.insert(0, {folder!r} + "/separation")
from mixtures import EpochSampler, load_mixtures
from mixtures import Mixer
from variants import default_variants
from speechbrain.dataio.dataset import DynamicItemDataset
start = time.time()
variants = default_variants("SB")
rows = load_mixtures({save!r}, "train", variants, {root!r}, 8000)
mixer = Mixer("SB", variants, 1, 8000)
dataset = DynamicItemDataset(rows)
dataset.add_dynamic_item(mixer, Mixer.takes, Mixer.provides)
assert len(dataset) == len(list(EpochSampler(rows, mixer))) == 128000
print(time.time() - start, peak_gib())
"""


def run_measured(script):
    """Runs a script that prints seconds and GiB; returns the GiB."""
    process = subprocess.run(
        [sys.executable, "-c", PEAK + script],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    seconds, peak_gib = map(float, process.stdout.split())
    print(f"{seconds:.1f} s, {peak_gib:.2f} GiB")
    return peak_gib


def test_128000_mixtures_fit_into_memory(tmp_path):
    root = tmp_path / "Tiny"
    rows = make_corpus(root, {"train": (1, 1)}, seconds=0.1)["train"]
    for number in range(128000 - 2):
        row = dict(rows[number % 2])
        # Many names of one mixture; all share the components.
        row["mixFile"] = f"{number:06d}{row['mixFile']}"
        os.link(
            wav_path(root, rows[number % 2], "mixFile"),
            wav_path(root, row, "mixFile"),
        )
        row["speech1OryginalPath"] = f"C:\\emu\\SES{number % 500:04d}\\1.wav"
        rows.append(row)
    write_metadata(metadata_path(root, "train"), rows)
    paths = {
        "folder": str(SCRIPT.parent),
        "root": str(root),
        "save": str(tmp_path / "save"),
    }
    assert run_measured(SCALE.format(**paths)) < 2
    for variant, size in (("SER", 64000), ("E", 64000), ("C", 128000)):
        with open(tmp_path / "save" / f"train_{variant}.csv") as file:
            assert sum(1 for _ in file) == size + 1
    assert run_measured(TRAINING.format(**paths)) < 2
