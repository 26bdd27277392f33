"""report.py page, and the mixin that calls it at the end of a test."""

import json
import os
import re
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from inference.trained import load_trained
from mixtures import Mixer, load_mixtures, one_row_per_variant
from page_content import MODEL, Page, make_tested_run, words
from recipe import ROOT, SAMPLES
from reporting.examples import choose_examples
from reporting.hooks import Reporting
from reporting.report import main
from tensorboard.backend.event_processing import event_accumulator

from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.train_logger import FileTrainLogger, TensorboardLogger

TABLES = {f"test_{x}" for x in ("summary.md", "summary.csv", "strata.md")}
NAMES = ["mixture", "estimate s1", "estimate s2"]
NAMES += ["reference s1", "reference s2"]
TAGS = {f"{clip}_SER/{name}" for clip in "ab" for name in NAMES}
WRITTEN = TABLES | {"report.html", "test_strata.csv"}


@pytest.fixture
def run(once, tmp_path):
    """A tested run without a report, of SER and S alone."""
    run = tmp_path / "run"
    shutil.copytree(once("tested", make_tested_run), run)
    scores = pd.read_csv(run / "test_scores.csv")
    scores = scores[scores["variant"] != "C"]
    scores.to_csv(run / "test_scores.csv", index=False)
    (run / "test_summary.csv").write_text("variant\nSER\nE\nR\nmacro mean\n")
    return run


def replace(path, old, new):
    """Replaces a text in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def page_of(run, *options):
    """The page that the command makes."""
    assert main(["page", str(run), *options]) == 0
    return Page(run / "report.html")


def test_report_is_written_whole_its_summary_last(run, capsys, monkeypatch):
    before, moved, move = {path.name for path in run.iterdir()}, [], os.replace

    def replace_and_tell(source, target):
        moved.append(Path(target).name)
        assert not (run / "test_summary.md").exists()
        move(source, target)

    monkeypatch.setattr(os, "replace", replace_and_tell)
    page = page_of(run)
    assert set(moved) == WRITTEN and moved[-1] == "test_summary.md"
    assert {path.name for path in run.iterdir()} == before | WRITTEN
    printed = capsys.readouterr()
    assert "| macro mean |" in printed.out
    notes = [words(note) for note in page.all("header//li")]
    assert printed.err.splitlines()[-len(notes) :] == notes
    assert [note.split(":")[0] for note in notes] == [
        *(f"1 of 8 rows have no {x}" for x in ("si_sdr", "pesq", "pesq_mix")),
        "1 of 8 rows have a silent estimate, or one that is not finite",
        "no test mixture has the variant R, E",
    ]
    facts = {"System": f"{run.parent.name}/run", "Model": str(MODEL)}
    facts |= {"Task": "SB, separate both speakers", "Parameters": "490"}
    assert page.facts() == facts
    assert "!new:os.remove [x]" in words(page.all("pre")[0])
    assert page_of(run).text == page.text


def test_examples_are_what_the_model_makes_of_the_mixtures(run):
    """Read and mixed again; estimates have the order and scale of references."""
    found, separator = page_of(run), load_trained(MODEL).separator
    rows = load_mixtures(str(run / "save"), "test", ["SER", "S"], SAMPLES, 8000)
    rows, mixer = one_row_per_variant(rows), Mixer("SB", ["SER", "S"], 0, 8000)
    sounds, orders = found.sounds(), set()
    for number, article in enumerate(found.all("article")):
        mixture_id, variant = (words(article.find(x)) for x in ("code", "h3"))
        row = rows[f"{mixture_id}_{variant.split()[0]}"]
        _, mixture, sources = mixer(*(row[name] for name in mixer.takes))
        with torch.inference_mode():
            estimates = separator(mixture[None])[0].numpy().T
        sources = sources.numpy().T
        match = np.corrcoef(estimates, sources)[:2, 2:] ** 2
        db = np.log(match / (1 - match))
        order = [1, 0] if db[0, 1] + db[1, 0] > np.trace(db) else [0, 1]
        orders.add(tuple(order))
        scaled = [
            (e @ s) / (e @ e) * e for e, s in zip(estimates[order], sources)
        ]
        expected = np.stack([mixture.numpy(), *scaled, *sources])
        expected /= max(1, np.abs(expected).max())
        signals = sounds[5 * number : 5 * number + 5]
        assert [name for name, _ in signals] == NAMES
        for (_, signal), samples in zip(signals, expected):
            assert signal == pytest.approx(samples, abs=1e-3)
    assert len(orders) == 2  # that of the model, and the other one


def test_facts_come_from_the_record_the_log_and_the_checkpoint(run):
    """The training began with other weights, which are gone."""
    checkpoint = run / "save/CKPT+1"
    shutil.copytree(MODEL, checkpoint)
    text = (checkpoint / "hyperparams.yaml").read_text()
    (checkpoint / "hyperparams.yaml").unlink()
    meta = {"unixtime": 1.0, "end-of-epoch": True, "epoch": 2, "si_sdri": 3.5}
    (checkpoint / "CKPT.yaml").write_text(yaml.safe_dump(meta))
    text += f"seed: 1\nnumber_of_epochs: 10\ndata_folder: {SAMPLES}\n"
    (run / "hyperparams.yaml").write_text(f"{text}init_from: /gone\n")
    (run / "train_log.txt").write_text("epoch: 1 - valid SI-SDRi: 3\nepoch: 2")
    known = {"Command": "train.py a.yaml '--metrics=[]'", "Commit": "abc"}
    known["Device"] = "cpu, of a kind"
    start = {name.lower(): text for name, text in known.items()}
    start.update(precision="bf16", eval_precision="fp32", python="3.11.7")
    start["packages"] = {"torch": "2.0", "numpy": "1"}
    (run / "record").mkdir()
    (run / "record/start-0001.json").write_text('{"commit": "of before"}')
    (run / "record/start-0002.json").write_text(json.dumps(start))
    page = page_of(run)
    assert page.facts() == {
        **known,
        "System": f"{run.parent.name}/run",
        "Task": "SB, separate both speakers",
        "Versions": "Python 3.11.7, torch 2.0",
        "Model": "/gone",
        "Test precision": "fp32",
        "Parameters": "490",
        "Training precision": "bf16",
        "Seed": "1",
        "Epochs": "2 of 10",
        "Best epoch": "2, validation SI-SDRi 3.50 dB",
    }
    assert page.all("audio") and "no learning curve" not in page.text


@pytest.mark.parametrize(
    "file, old, new, reason",
    [
        ("hyperparams.yaml", f"{SAMPLES}\n", "/no\n", "/no"),
        ("hyperparams.yaml", "data_folder", "unknown", "--data_folder"),
        ("hyperparams.yaml", str(MODEL), "/gone", "/gone"),
        ("hyperparams.yaml", str(MODEL), str(ROOT), "expected|neither"),
        ("hyperparams.yaml", "init_from", "unknown", "no such folder|neither"),
        ("hyperparams.yaml", "seed", "[seed", "run/hyperparams.yaml: "),
        ("test_scores.csv", "cs1ophel5", "gone", "lack the mixture gone"),
    ],
)
def test_page_without_corpus_or_model_says_so(
    run, capsys, file, old, new, reason
):
    replace(run / file, old, new)
    page = page_of(run, "--strata")
    assert page.all("audio") == []
    said = " ".join(capsys.readouterr().err.split())
    note = said.partition("the page has no examples to hear: ")[2]
    assert re.search(reason, note)
    paragraphs = [words(p) for p in page.all("main/p")]
    assert f"There are no examples: {note}." in paragraphs
    assert (run / "test_summary.md").is_file()


def test_moved_corpus_is_named_or_found_from_where_the_run_began(
    run, monkeypatch
):
    path = run / "hyperparams.yaml"
    replace(path, f"{SAMPLES}\n", "/gone\n")
    assert page_of(run, "--data_folder", str(SAMPLES)).all("audio")
    replace(path, "/gone\n", f"{SAMPLES.name}\n")
    (run / "record").mkdir()
    start = json.dumps({"folder": str(SAMPLES.parent)})
    (run / "record/start-0001.json").write_text(start)
    assert page_of(run).all("audio")
    replace(path, "data_folder", "unknown")
    monkeypatch.setenv("POLSESS_DATA_ROOT", str(SAMPLES))
    assert page_of(run).all("audio")


def test_page_with_unknown_strata_leaves_the_old_one(run, capsys):
    assert main(["tables", str(run), "--latex"]) == 0
    latex = (run / "test_summary.tex").read_text()
    before = page_of(run, "--strata", "setting").text
    assert latex and not (run / "test_summary.tex").exists()
    assert main(["page", str(run), "--strata", "colour"]) == 1
    assert "'colour' is not a column" in capsys.readouterr().err
    assert (run / "report.html").read_text(encoding="utf-8") == before
    # Another page leaves nothing of this one.
    page_of(run, "--strata")
    assert not (run / "test_strata.md").exists()


def scores_of(values, variant="S", setting="outdoor"):
    """Rows of mixtures a, b, c ...; two sources have this mean of SI-SDRi."""
    scores = pd.DataFrame({"ID": list("abcdef"[: len(values)])})
    scores = scores.assign(variant=variant, setting=setting)
    gains = np.arange(len(values)) * 9 - 9
    parts = [scores.assign(si_sdri=values + x) for x in (gains, -gains)]
    return pd.concat(parts).sample(frac=1, random_state=0, ignore_index=True)


@pytest.mark.parametrize(
    "values, median, worst",
    [
        ([3.0, 1.0, 2.0], "c", "b"),
        ([1.0, 4.0, 3.0, 2.0], "c", "a"),
        ([5.0, 5.0, 5.0], "b", "a"),  # ties: by ID
        ([np.nan, 2.0, 1.0, 3.0], "b", "c"),
        ([7.0, 6.0], "a", "b"),
    ],
)
def test_examples_are_a_median_and_the_worst(values, median, worst):
    assert choose_examples(scores_of(values)) == [
        (median, "S", "median"),
        (worst, "S", "worst"),
    ]


def test_examples_are_of_each_variant_and_of_c_in_each_setting():
    parts = [
        scores_of([np.nan]),
        scores_of([1.0], "C", "indoor"),
        scores_of([np.nan, 2.0, 9.0], "C"),
        scores_of([1.0, 2.0], "SER", "indoor"),
    ]
    assert choose_examples(pd.concat(parts, ignore_index=True)) == [
        *(("b", "SER", "median"), ("a", "SER", "worst")),
        *(("a", "C", "median"), ("c", "C", "median"), ("b", "C", "worst")),
    ]


class Tested:
    """Stands for SeparationBrain; its model returns the sources in turn."""

    on_stage_start = on_stage_end = lambda self, *arguments: None

    def compute_objectives(self, predictions, batch, stage):
        self.order = torch.tensor([[1, 0]])
        return "the loss"


class Reported(Reporting, Tested):
    """The mixin before the Brain, as in the YAML."""

    def __init__(self, run, *loggers):
        self.hparams = SimpleNamespace(output_folder=str(run), task="SB")
        self.hparams.save_folder = str(run / "save")
        self.hparams.data_folder = str(SAMPLES)
        self.hparams.sample_rate = 8000
        self.hparams.train_loggers = loggers


class Board(dict):
    """Stands for a logger that plays sounds."""

    def log_audio(self, name, signal, rate):
        assert rate == 8000
        self[name] = signal


def test_test_ends_with_a_report_and_begins_without_an_old_one(run, caplog):
    before = {path.name for path in run.iterdir()}
    for name in (*WRITTEN - {"test_summary.csv"}, "test_summary.tex"):
        (run / name).write_text("old")
    brain = Reported(run)
    brain.on_stage_start(Stage.TEST)
    assert {path.name for path in run.iterdir()} == before
    with caplog.at_level("INFO"):
        brain.on_stage_end(Stage.TEST, 0.0)
    assert (run / "test_summary.md").is_file()
    assert Page(run / "report.html").all("audio")
    logged = {(r.levelname, r.message.split(":")[0]) for r in caplog.records}
    assert ("WARNING", "1 of 8 rows have no pesq") in logged
    assert any("| macro mean |" in r.message for r in caplog.records)


def validate(brain, epoch):
    """Validates mixtures, the first one in two variants, the next ones not finite."""
    brain.on_stage_start(Stage.VALID, epoch)
    for number, mixture_id in enumerate("aabc"):
        time = torch.linspace(-2, 2, 800)
        sources = torch.stack([time, time.cos()], -1)
        item = {"mixture_id": mixture_id, "setting": "indoor"}
        item.update(variant=["SER", "R"][number == 1], mix_sig=sources.sum(-1))
        batch = PaddedBatch([{**item, "sources_sig": sources}])
        estimate = sources.flip(-1)[None] / (number == 0)
        loss = brain.compute_objectives(estimate, batch, Stage.VALID)
        assert loss == "the loss"
    brain.on_stage_end(Stage.VALID, 0.0, epoch)


def test_first_validation_mixtures_can_be_heard(tmp_path):
    """In TensorBoard; a logger that plays no sound is left alone."""
    log, board = FileTrainLogger(str(tmp_path / "log")), Board()
    tensorboard = TensorboardLogger(str(tmp_path / "board"))
    brain = Reported(tmp_path, log, tensorboard, board)
    for epoch in range(1, 11):
        validate(brain, epoch)
        tensorboard.log_stats({"epoch": epoch})
    tensorboard.writer.flush()
    shown = event_accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    assert set(shown.Tags()["audio"]) == set(board) == TAGS
    for tag in TAGS:
        assert [clip.step for clip in shown.Audio(tag)] == [0, 4, 9]
    for name in ("s1", "s2"):
        expected = pytest.approx(board[f"a_SER/reference {name}"], abs=1e-5)
        assert board[f"a_SER/estimate {name}"] == expected
    peak = max(np.abs(signal).max() for signal in board.values())
    assert peak == pytest.approx(1)  # of full scale
    assert not board["b_SER/estimate s1"].any()  # not finite: silence


def test_other_ranks_report_nothing_and_wait_for_the_loggers(run, monkeypatch):
    waited = []
    for name in ("broadcast_object_list", "barrier"):
        wait = partial(lambda name, *_, **__: waited.append(name), name)
        monkeypatch.setattr(torch.distributed, name, wait)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "gloo")
    monkeypatch.setenv("RANK", "1")
    (run / "report.html").write_text("of rank 0")
    board = Board()
    brain = Reported(run, board)
    brain.on_stage_start(Stage.TEST)
    brain.on_stage_end(Stage.TEST, 0.0)
    validate(brain, 1)
    assert waited == ["broadcast_object_list", "barrier"]
    assert (run / "report.html").read_text() == "of rank 0" and not board
    assert not (run / "test_summary.md").exists()
