"""report.py page, and the mixin that calls it at the end of a test."""

import json
import os
import re
import shutil
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


def record(run, **more):
    """Writes the record of a start."""
    (run / "record").mkdir(exist_ok=True)
    command = "train.py hparams/convtasnet.yaml --task SB '--metrics=[]'"
    start = {"command": command, "folder": str(run), "device": "cpu, of a kind"}
    start.update(commit="abc123", packages={"torch": "2.0", "numpy": "1"})
    path = run / "record/start-0001.json"
    path.write_text(json.dumps({**start, **more}))


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
        assert [name for name, _ in signals] == [
            "mixture",
            *(
                f"{kind} s{x}"
                for kind in ("estimate", "reference")
                for x in "12"
            ),
        ]
        for (_, signal), samples in zip(signals, expected):
            assert signal == pytest.approx(samples, abs=1e-3)
    assert len(orders) == 2  # that of the model, and the other one


def test_facts_come_from_the_record_the_log_and_the_checkpoint(run):
    checkpoint = run / "save/CKPT+1"
    shutil.copytree(MODEL, checkpoint)
    text = (checkpoint / "hyperparams.yaml").read_text()
    (checkpoint / "hyperparams.yaml").unlink()
    meta = {"unixtime": 1.0, "end-of-epoch": True, "epoch": 2, "si_sdri": 3.5}
    (checkpoint / "CKPT.yaml").write_text(yaml.safe_dump(meta))
    text += f"seed: 1234\nnumber_of_epochs: 10\ndata_folder: {SAMPLES}\n"
    # The training began with other weights, which are gone.
    (run / "hyperparams.yaml").write_text(f"{text}init_from: /gone\n")
    (run / "train_log.txt").write_text(
        "epoch: 1, lr: 1.00e-03 - train loss: -3.50e+00 - valid SI-SDRi: 2.98\n"
        "epoch: 2, lr: 1.00e-03 - train loss: -4.50e+00 - valid SI-SDRi: 3.50\n"
    )
    record(run, precision="bf16", eval_precision="fp32", python="3.11.7")
    found = page_of(run)
    assert found.facts() == {
        "System": f"{run.parent.name}/run",
        "Task": "SB, separate both speakers",
        "Command": "train.py hparams/convtasnet.yaml --task SB '--metrics=[]'",
        "Commit": "abc123",
        "Model": "/gone",
        "Parameters": "490",
        "Device": "cpu, of a kind",
        "Training precision": "bf16",
        "Test precision": "fp32",
        "Seed": "1234",
        "Epochs": "2 of 10",
        "Best epoch": "2, validation SI-SDRi 3.50 dB",
        "Versions": "Python 3.11.7, torch 2.0",
    }
    assert found.all("audio") and "no learning curve" not in found.text


@pytest.mark.parametrize(
    "file, old, new, reason",
    [
        ("hyperparams.yaml", f"{SAMPLES}\n", "/gone\n", "/gone"),
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
    record(run, folder=str(SAMPLES.parent))
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
    """Rows of mixtures a, b, c ... with their SI-SDRi."""
    scores = pd.DataFrame({"ID": list("abcdef"[: len(values)])})
    return scores.assign(variant=variant, setting=setting, si_sdri=values)


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
    """The mean of a mixture's sources counts."""
    parts = [scores_of(np.add(values, gain)) for gain in (9, -9)]
    scores = pd.concat(parts).sample(frac=1, random_state=0, ignore_index=True)
    assert choose_examples(scores) == [
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
        ("b", "SER", "median"),
        ("a", "SER", "worst"),
        ("a", "C", "median"),
        ("c", "C", "median"),
        ("b", "C", "worst"),
    ]


class Tested:
    """Stands for SeparationBrain; its model returns the sources in turn."""

    def on_stage_start(self, stage, epoch=None):
        """Does nothing."""

    def compute_objectives(self, predictions, batch, stage):
        self.order = torch.tensor([[1, 0]])
        return "the loss"

    def on_stage_end(self, stage, stage_loss, epoch=None):
        self.ended = stage


class Reported(Reporting, Tested):
    """The mixin before the Brain, as in the YAML."""

    def __init__(self, run, train_loggers=()):
        self.hparams = SimpleNamespace(
            output_folder=str(run),
            save_folder=str(run / "save"),
            data_folder=str(SAMPLES),
            task="SB",
            sample_rate=8000,
            train_loggers=train_loggers,
        )


def test_test_ends_with_a_report_and_begins_without_an_old_one(run, caplog):
    before = {path.name for path in run.iterdir()}
    for name in (*WRITTEN - {"test_summary.csv"}, "test_summary.tex"):
        (run / name).write_text("old")
    brain = Reported(run)
    brain.on_stage_start(Stage.TEST)
    assert {path.name for path in run.iterdir()} == before
    with caplog.at_level("INFO"):
        brain.on_stage_end(Stage.TEST, 0.0)
    assert brain.ended == Stage.TEST
    assert (run / "test_summary.md").is_file()
    assert Page(run / "report.html").all("audio")
    logged = {(r.levelname, r.message.split(":")[0]) for r in caplog.records}
    assert ("WARNING", "1 of 8 rows have no pesq") in logged
    assert any("| macro mean |" in r.message for r in caplog.records)


def validate(brain, epoch, ids="aabc"):
    """Validates mixtures, the first one in two variants."""
    brain.on_stage_start(Stage.VALID, epoch)
    for number, mixture_id in enumerate(ids):
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
    board = TensorboardLogger(str(tmp_path / "board"))
    log = FileTrainLogger(str(tmp_path / "train_log.txt"))
    brain = Reported(tmp_path, [log, board])
    for epoch in range(1, 11):
        validate(brain, epoch)
        board.log_stats({"epoch": epoch})
    board.writer.flush()
    shown = event_accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    names = ["mixture", "estimate s1", "estimate s2"]
    names += ["reference s1", "reference s2"]
    tags = [f"{clip}/{name}" for clip in ("a_SER", "b_SER") for name in names]
    assert sorted(shown.Tags()["audio"]) == sorted(tags)
    for tag in tags:
        assert [clip.step for clip in shown.Audio(tag)] == [0, 4, 9]
    assert not (tmp_path / "train_log.txt").exists()


def test_clips_never_exceed_full_scale_and_nan_is_silence(tmp_path):
    heard = {}
    board = SimpleNamespace(
        log_audio=lambda name, signal, rate: heard.update({name: signal})
    )
    validate(Reported(tmp_path, [board]), 1)
    for name in ("s1", "s2"):
        signal, reference = (
            heard[f"a_SER/{kind} {name}"] for kind in ("estimate", "reference")
        )
        assert signal == pytest.approx(reference, abs=1e-5)
    loudest = max(np.abs(signal).max() for signal in heard.values())
    assert loudest == pytest.approx(1)
    assert not heard["b_SER/estimate s1"].any()
    heard.clear()
    validate(Reported(tmp_path, [board]), 2)
    assert heard == {}


def test_other_ranks_report_nothing(run, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setenv("RANK", "1")
    (run / "report.html").write_text("of rank 0")
    heard = []
    board = SimpleNamespace(log_audio=lambda *clip: heard.append(clip))
    brain = Reported(run, [board])
    brain.on_stage_start(Stage.TEST)
    brain.on_stage_end(Stage.TEST, 0.0)
    validate(brain, 1)
    assert (run / "report.html").read_text() == "of rank 0" and not heard
    assert not (run / "test_summary.md").exists()
