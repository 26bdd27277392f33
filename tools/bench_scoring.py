"""Times the scoring of a test against a loop with torchmetrics.

> python tools/bench_scoring.py bench results/scoring

Both read the same WAV files and compute SI-SDR, SDR, PESQ, STOI and ESTOI of
estimates and mixture, two sources a mixture. The loop stands for common
practice: one utterance after the other, torchmetrics for everything.

Authors
 * The PolSESS recipe team 2026
"""

import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
import soundfile
import torch
from torchmetrics.functional import audio as torchmetrics_audio

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes/PolSESS"
sys.path[:0] = [str(RECIPE / "separation"), str(RECIPE)]

MIXTURES = 150
ROUNDS = 5
METRICS = ["si_sdr", "sdr", "pesq", "stoi", "estoi"]
SOURCES = ("s1", "s2")
PACKAGES = "torchmetrics torch pesq pystoi numpy scipy joblib".split()


def make_files(folder):
    """Mixtures, references and estimates as WAV files.

    The corpus is simulated; an estimate is its reference with a third of what
    the mixture adds to it.
    """
    corpus = folder / "PolSESS"
    subprocess.run(
        [
            sys.executable,
            RECIPE / "simulate/make_corpus.py",
            *["--output_folder", corpus, "--seed", "1234"],
            *["--n_train", "1", "--n_val", "1", "--n_test", str(MIXTURES)],
        ],
        check=True,
    )

    table = pd.read_csv(next(corpus.rglob("corpus_*_test_final.csv")))
    items = []
    for row in table.to_dict("records"):
        mixture, sample_rate = soundfile.read(
            corpus / "test/mix" / row["mixFile"], dtype="float32"
        )
        item = {"mixture": str(corpus / "test/mix" / row["mixFile"])}
        for source, column in zip(SOURCES, ("speaker1File", "speaker2File")):
            path = corpus / "test/clean" / row[column]
            reference, _ = soundfile.read(path, dtype="float32")
            estimate = reference + (mixture - reference) / 3
            item[f"reference {source}"] = str(path)
            item[f"estimate {source}"] = str(folder / f"estimate_{path.name}")
            soundfile.write(
                item[f"estimate {source}"], estimate, sample_rate, "FLOAT"
            )
        items.append(item)
    return items, sample_rate


def read(item):
    """The signals of one item, float32 [time]."""
    return {
        name: soundfile.read(path, dtype="float32")[0]
        for name, path in item.items()
    }


def run_loop(items, sample_rate):
    """One utterance after the other, with torchmetrics."""
    scores = []
    for item in items:
        signals = {k: torch.from_numpy(v) for k, v in read(item).items()}
        for source in SOURCES:
            reference = signals[f"reference {source}"]
            for signal in (signals[f"estimate {source}"], signals["mixture"]):
                pair = (signal, reference)
                scores.append(
                    [
                        torchmetrics_audio.scale_invariant_signal_distortion_ratio(
                            *pair, zero_mean=True
                        ),
                        torchmetrics_audio.signal_distortion_ratio(*pair),
                        torchmetrics_audio.perceptual_evaluation_speech_quality(
                            *pair, sample_rate, "nb"
                        ),
                        *(
                            torchmetrics_audio.short_time_objective_intelligibility(
                                *pair, sample_rate, extended
                            )
                            for extended in (False, True)
                        ),
                    ]
                )
    return np.array([[float(score) for score in row] for row in scores])


def run_scorer(items, sample_rate, cache_folder):
    """The scorer of the recipe, as its test stage calls it."""
    from scoring import Scorer
    from scoring import Utterance

    scorer = Scorer(METRICS, sample_rate, cache_folder)
    for number, item in enumerate(items):
        signals = read(item)
        stacked = {
            kind: np.stack([signals[f"{kind} {s}"] for s in SOURCES], -1)
            for kind in ("estimate", "reference")
        }
        scorer.submit(
            Utterance(
                labels={"ID": str(number)},
                sources=list(SOURCES),
                mixture=signals["mixture"],
                **stacked,
            )
        )
    return np.array(
        [
            [row[f"{name}{suffix}"] for name in METRICS]
            for row in scorer.rows()
            for suffix in ("", "_mix")
        ]
    )


def measure(items, sample_rate):
    """Seconds of each way in each round, and how far the scores differ."""
    seconds = {"loop": [], "first": [], "cached": []}
    scores = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            for name, run in (
                ("loop", lambda: run_loop(items, sample_rate)),
                ("first", lambda: run_scorer(items, sample_rate, cache)),
                ("cached", lambda: run_scorer(items, sample_rate, cache)),
            ):
                start = time.perf_counter()
                scores[name] = run()
                seconds[name].append(time.perf_counter() - start)
                print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)
    difference = np.abs(scores["loop"] - scores["first"]).max(0)
    np.testing.assert_allclose(scores["cached"], scores["first"], atol=1e-9)
    return seconds, dict(zip(METRICS, difference.tolist()))


def to_markdown(result):
    """The result as a table with what is needed to repeat it."""
    lines = [
        "# Scoring: the recipe against a loop with torchmetrics\n",
        "| | ms a mixture, median (range) | times the loop |",
        "| --- | --- | --- |",
    ]
    for name, label in (
        ("loop", "loop with torchmetrics"),
        ("first", "recipe, first time"),
        ("cached", "recipe, mixtures cached"),
    ):
        times = [1000 * s / result["mixtures"] for s in result["seconds"][name]]
        ratio = result["speedup"].get(name)
        lines.append(
            f"| {label} | {statistics.median(times):.0f} "
            f"({min(times):.0f} to {max(times):.0f}) | "
            f"{f'{ratio:.2f}' if ratio else ''} |"
        )
    differences = ", ".join(
        f"{name} {value:.1g}" for name, value in result["difference"].items()
    )
    return "\n".join(lines) + (
        f"\n\n{result['mixtures']} mixtures of two sources, "
        f"{result['rounds']} rounds in turn, the start of the processes "
        f"included. Largest difference of a score: {differences}.\n\n"
        f"`make bench` (`tools/bench_scoring.py`, seed 1234) at commit "
        f"{result['commit']}: {result['machine']}; {result['versions']}.\n"
    )


def main(work_folder, output_folder):
    """Measures, and writes README.md and scoring.json.

    Arguments
    ---------
    work_folder : str
        For the corpus and the estimates.
    output_folder : str
        For the figures.
    """
    from reliability.facts import commit, device_name

    work = pathlib.Path(work_folder)
    items, sample_rate = make_files(work)
    seconds, difference = measure(items, sample_rate)
    loop = statistics.median(seconds["loop"])
    result = {
        "mixtures": len(items),
        "rounds": ROUNDS,
        "seconds": seconds,
        "speedup": {
            name: loop / statistics.median(seconds[name])
            for name in ("first", "cached")
        },
        "difference": difference,
        "commit": commit(),
        "machine": f"{device_name('cpu')}, {platform.system()}, Python "
        f"{platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1) + "\n"
    (output / "scoring.json").write_text(text, encoding="utf-8")
    (output / "README.md").write_text(to_markdown(result), encoding="utf-8")
    print(to_markdown(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
