"""The benchmarks: their arithmetic, and one of them in full at a tiny size."""

import csv
import importlib
import subprocess
import sys

import pytest
from recipe import ROOT

sys.path.append(str(ROOT / "benchmarks"))
common = importlib.import_module("common")
precision = importlib.import_module("precision")
threads = importlib.import_module("threads")


def test_ratios_are_within_a_round():
    rows = [
        {"round": number, "way": way, "s": seconds}
        for number, way, seconds in [
            (0, "a", 2.0),
            (0, "b", 1.0),
            (1, "a", 4.0),
            (1, "b", 1.0),
            (1, "c", None),
            (2, "b", 1.0),  # its round has no base
        ]
    ]
    common.add_ratios(rows, "s", ["round"], way="a")
    ratios = [row["times s"] for row in rows]
    assert ratios == [1.0, 0.5, 1.0, 0.25, None, None]


def test_tables_give_median_and_range_of_a_case():
    rows = [{"n": n, "way": "a", "s": s} for n, s in enumerate((3.0, 1.0, 8.0))]
    rows.append({"n": 0, "way": "b", "s": None})
    text = common.spread_table(rows, ["way"], s=1)
    assert text.splitlines() == [
        "| way | s |",
        "| --- | --- |",
        "| a | 3.0 (1.0 to 8.0) |",
        "| b |  |",
    ]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ([0.01, 0.02, 0.015], "yes"),
        ([0.9, 1.0, 1.1], "no"),
        ([-1.0, -0.9, -1.1], "no"),
        ([-0.5, 0.5, 0.0], "undecided"),
    ],
)
def test_precision_is_judged_by_the_whole_interval(changes, expected):
    rows = []
    for seed, change in enumerate(changes):
        row = {"seed": seed, "si_sdri": 5.0, "times speed": 1.0}
        rows.append({**row, "precision": "fp32"})
        rows.append({**row, "precision": "bf16", "si_sdri": 5.0 + change})
    (found,) = precision.differences(rows)
    assert found["precision"] == "bf16"
    assert found["within 0.05 dB"] == expected


def test_busy_processes_end_with_their_block():
    with pytest.raises(KeyError), threads.busy_processes(1) as loops:
        assert loops[0].poll() is None
        raise KeyError
    assert loops[0].poll() is not None


def test_the_networks_are_compared(tmp_path):
    output = tmp_path / "network"
    sizes = '{"N": 8, "B": 8, "H": 8, "X": 2, "R": 1}'
    options = (
        "--batches 1 --tasks SB --precisions fp32 --rounds 1 --seconds 0.2"
    )
    command = [sys.executable, ROOT / "benchmarks/network.py", output]
    command += [*options.split(), "--sizes", sizes, "--run_seconds", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    with open(output / "network.csv", newline="") as file:
        stock, fast = csv.DictReader(file)
    assert (stock["network"], fast["network"]) == ("SpeechBrain", "fast")
    assert float(stock["times step_ms"]) == 1.0
    for row in (stock, fast):
        for name in ("step_ms", "forward_ms", "peak_gib"):
            assert float(row[name]) > 0
    text = (output / "README.md").read_text(encoding="utf-8")
    assert "benchmarks/network.py" in text and "at commit" in text
