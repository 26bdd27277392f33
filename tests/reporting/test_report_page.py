"""report.py page, and the mixin that calls it at the end of a test.

The runs hold the sample corpus's manifests and the sample model.

Authors
 * The PolSESS recipe team 2026
"""

import base64
import io
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from inference.trained import load_trained
from mixtures import Mixer, load_mixtures, one_row_per_variant
from prepare_polsess import prepare_polsess
from recipe import ROOT, SAMPLES
from reporting.examples import choose_examples
from reporting.hooks import Reporting
from reporting.report import main

from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.train_logger import FileTrainLogger, TensorboardLogger

MODEL = ROOT / "tests/samples/PolSESS_model"
WRITTEN = {"report.html", "test_summary.md", "test_strata.md"}
WRITTEN |= {"test_summary.csv", "test_strata.csv"}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """The manifests of the sample corpus's test set."""
    folder = tmp_path_factory.mktemp("save")
    prepare_polsess(str(SAMPLES), str(folder), splits=["test"])
    return folder


@pytest.fixture
def run(tmp_path, manifests):
    """A run that tested the model which init_from names, on SER and S."""
    shutil.copytree(manifests, tmp_path / "run/save")
    rows = []
    for variant in ("SER", "S"):
        for row in pd.read_csv(manifests / f"test_{variant}.csv").itertuples():
            labels = row.ID, variant, row.setting
            rows += [(*labels, s, len(rows), 0.0) for s in ("s1", "s2")]
    names = ["ID", "variant", "setting", "source", "si_sdr", "si_sdr_mix"]
    scores = pd.DataFrame(rows, columns=names)
    scores["si_sdri"] = scores["si_sdr"]
    scores.to_csv(tmp_path / "run/test_scores.csv", index=False)
    settings = {"init_from": str(MODEL), "data_folder": str(SAMPLES)}
    settings.update(seed=1234, number_of_epochs=10)
    text = f"{yaml.safe_dump(settings)}object: !new:os.remove [x]\n"
    (tmp_path / "run/hyperparams.yaml").write_text(text)
    return tmp_path / "run"


def record(run, **more):
    """Writes the record of a start."""
    (run / "record").mkdir(exist_ok=True)
    command = "train.py hparams/convtasnet.yaml --task SB '--metrics=[]'"
    start = {"command": command, "folder": str(run), "device": "cpu, of a kind"}
    start.update(commit="abc123", packages={"torch": "2.0", "numpy": "1"})
    path = run / "record/start-0001.json"
    path.write_text(json.dumps({**start, **more}))


def page_of(run, *options):
    assert main(["page", str(run), *options]) == 0
    return (run / "report.html").read_text(encoding="utf-8")


def facts_of(text):
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))


def sounds(text):
    """Name and signal of each player."""
    for name, sound in re.findall(
        r'aria-label="([^:"]+):[^"]*" data-seconds="[^"]*" src="data:[^,]+,([^"]+)"',
        text,
    ):
        yield name, soundfile.read(io.BytesIO(base64.b64decode(sound)))[0]


def test_page_of_a_model_of_another_run(run, capsys):
    before = {path.name for path in run.iterdir()}
    text = page_of(run)
    assert {path.name for path in run.iterdir()} == before | WRITTEN
    printed = capsys.readouterr()
    assert "| macro mean |" in printed.out and printed.err == ""
    facts = facts_of(text)
    assert facts["System"].endswith("/run") and facts["Task"].startswith(
        "SB, separate"
    )
    assert facts["Parameters"] == "490" and facts["Model"] == str(MODEL)
    assert "Epochs" not in facts and "Commit" not in facts
    # Two variants, a median and a worst mixture each, five signals each
    assert text.count("<audio") == 2 * 2 * 5
    assert "!new:os.remove [x]" in text


def test_examples_are_what_the_model_makes_of_the_mixtures(run):
    """The mixture and the references are read, estimates are made again."""
    found = list(sounds(page_of(run)))[:5]
    scores = pd.read_csv(run / "test_scores.csv", dtype={"ID": str})
    mixture_id = choose_examples(scores)[0][0]
    rows = load_mixtures(str(run / "save"), "test", ["SER"], SAMPLES, 8000)
    row = one_row_per_variant(rows)[f"{mixture_id}_SER"]
    mixer = Mixer("SB", ["SER"], 0, 8000)
    _, mixture, sources = mixer(*(row[name] for name in mixer.takes))
    with torch.inference_mode():
        estimates = load_trained(MODEL).separator(mixture[None])[0]
    expected = [mixture, *estimates.T, *sources.T]
    assert [name for name, _ in found] == [
        *("mixture", "estimate s1", "estimate s2"),
        *("reference s1", "reference s2"),
    ]
    signals = [signal for _, signal in found]
    both = np.corrcoef([*signals, *(e.numpy() for e in expected)])[:5, 5:]
    for number in (0, 3, 4):
        assert both[number, number] == pytest.approx(1, abs=1e-3)
    # Up to their order and sign, as SI-SDR leaves them.
    assert abs(both[1:3, 1:3]).max(1) == pytest.approx([1, 1], abs=1e-3)


def test_facts_come_from_the_record_the_log_and_the_checkpoint(run):
    checkpoint = run / "save/CKPT+1"
    shutil.copytree(MODEL, checkpoint)
    text = (checkpoint / "hyperparams.yaml").read_text()
    (checkpoint / "hyperparams.yaml").unlink()
    meta = {"unixtime": 1.0, "end-of-epoch": True, "epoch": 2, "si_sdri": 3.5}
    (checkpoint / "CKPT.yaml").write_text(yaml.safe_dump(meta))
    text += f"seed: 1234\nnumber_of_epochs: 10\ndata_folder: {SAMPLES}\n"
    (run / "hyperparams.yaml").write_text(text)
    (run / "train_log.txt").write_text(
        "epoch: 1, lr: 1.00e-03 - train loss: -3.50e+00 - valid SI-SDRi: 2.98\n"
        "epoch: 2, lr: 1.00e-03 - train loss: -4.50e+00 - valid SI-SDRi: 3.50\n"
    )
    record(run, precision="bf16", eval_precision="fp32", python="3.11.7")
    found = facts_of(page_of(run))
    assert found.pop("Task") and found == {
        "System": f"{run.parent.name}/run",
        "Command": "train.py hparams/convtasnet.yaml --task SB "
        "&#39;--metrics=[]&#39;",
        "Commit": "abc123",
        "Parameters": "490",
        "Device": "cpu, of a kind",
        "Training precision": "bf16",
        "Test precision": "fp32",
        "Seed": "1234",
        "Epochs": "2 of 10",
        "Best epoch": "2, validation SI-SDRi 3.50 dB",
        "Versions": "Python 3.11.7, torch 2.0",
    }


@pytest.mark.parametrize(
    "old, new, reason",
    [
        (f"{SAMPLES}\n", "/gone\n", "/gone"),
        (str(MODEL), "/gone", "/gone"),
        (str(MODEL), str(ROOT), "expected|neither"),
        ("init_from", "unknown", "no such folder|neither"),
        ("seed", "[seed", r"run/hyperparams.yaml: "),
    ],
)
def test_page_without_corpus_or_model_says_so(run, capsys, old, new, reason):
    path = run / "hyperparams.yaml"
    path.write_text(path.read_text().replace(old, new))
    text = page_of(run)
    assert "<audio" not in text and "There are no examples" in text
    note = capsys.readouterr().err
    assert note.startswith("the page has no examples to hear:")
    assert re.search(reason, note)
    assert (run / "test_summary.md").is_file()


def test_moved_corpus_is_named_or_found_from_where_the_run_began(run):
    path = run / "hyperparams.yaml"
    text = path.read_text()
    path.write_text(text.replace(f"{SAMPLES}\n", "/gone\n"))
    assert "<audio" in page_of(run, "--data_folder", str(SAMPLES))
    path.write_text(text.replace(f"{SAMPLES}\n", f"{SAMPLES.name}\n"))
    record(run, folder=str(SAMPLES.parent))
    assert "<audio" in page_of(run)


def test_page_with_unknown_strata_leaves_the_old_one(run, capsys):
    assert main(["tables", str(run), "--latex"]) == 0
    latex = (run / "test_summary.tex").read_text()
    before = page_of(run, "--strata", "setting")
    assert latex and not (run / "test_summary.tex").exists()
    assert main(["page", str(run), "--strata", "colour"]) == 1
    assert "'colour' is not a column" in capsys.readouterr().err
    assert (run / "report.html").read_text(encoding="utf-8") == before
    # Another page leaves nothing of this one.
    page_of(run, "--strata")
    assert not (run / "test_strata.md").exists()


def test_failures_and_empty_variants_are_notes(run, capsys):
    """For readers of the page, and in the log."""
    scores = pd.read_csv(run / "test_scores.csv").assign(pesq=np.nan)
    scores.loc[0, ["si_sdr", "si_sdri"]] = np.nan
    scores.to_csv(run / "test_scores.csv", index=False)
    (run / "test_summary.csv").write_text("variant\nSER\nE\nR\nmacro mean\n")
    text, n = page_of(run), len(scores)
    printed = capsys.readouterr().err
    for note in (
        f"1 of {n} rows have no si_sdr:",
        f"{n} of {n} rows have no pesq:",
        "no test mixture has the variant R, E",
    ):
        assert note in text
        assert note in printed


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
    scores = scores_of(values).sample(frac=1, random_state=0)
    assert choose_examples(scores) == [
        (median, "S", "median"),
        (worst, "S", "worst"),
    ]


def scores_of(values, variant="S", setting="outdoor"):
    """Rows of mixtures a, b, c ... with their SI-SDRi."""
    scores = pd.DataFrame({"ID": list("abcdef"[: len(values)])})
    return scores.assign(variant=variant, setting=setting, si_sdri=values)


def test_examples_are_of_each_variant_and_of_c_in_each_setting():
    parts = [
        scores_of([1.0, 2.0], "SER", "indoor"),
        scores_of([1.0], "C", "indoor"),
        scores_of([np.nan, 2.0, 9.0], "C"),
        scores_of([np.nan]),
    ]
    assert choose_examples(pd.concat(parts, ignore_index=True)) == [
        ("b", "SER", "median"),
        ("a", "SER", "worst"),
        ("a", "C", "median"),
        ("c", "C", "median"),
        ("b", "C", "worst"),
    ]


def test_both_sources_of_a_mixture_count_for_an_example():
    first, second = scores_of([9.0, 1.0, 4.0]), scores_of([-9.0, 1.0, 4.0])
    chosen = choose_examples(pd.concat([first, second], ignore_index=True))
    assert [name for name, _, _ in chosen] == ["b", "a"]


class Tested:
    """Stands for SeparationBrain."""

    def on_stage_start(self, stage, epoch=None):
        """Does nothing."""

    def compute_objectives(self, predictions, batch, stage):
        self.order = torch.arange(predictions.shape[-1]).flip(0)[None]
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
            task="ES",
            sample_rate=8000,
            train_loggers=train_loggers,
        )


def test_test_ends_with_a_report_and_begins_without_an_old_one(run, caplog):
    for name in (*WRITTEN, "test_summary.tex"):
        (run / name).write_text("variant\nold")
    brain = Reported(run)
    brain.on_stage_start(Stage.TEST)
    left = {path.name for path in run.iterdir()} - {"record"}
    assert left == {
        *("save", "hyperparams.yaml", "test_scores.csv", "test_summary.csv")
    }
    with caplog.at_level("INFO"):
        brain.on_stage_end(Stage.TEST, 0.0)
    assert brain.ended == Stage.TEST
    assert (run / "test_summary.md").is_file()
    assert "<audio" in (run / "report.html").read_text(encoding="utf-8")
    assert any("| macro mean |" in r.message for r in caplog.records)


def validate(brain, epoch, ids="aabc"):
    """Validates mixtures, the first one in two variants."""
    brain.on_stage_start(Stage.VALID, epoch)
    for number, mixture_id in enumerate(ids):
        source = torch.linspace(-2, 2, 800)[:, None]
        item = {"mixture_id": mixture_id, "setting": "indoor"}
        item.update(variant=["SER", "R"][number == 1], mix_sig=source[:, 0])
        batch = PaddedBatch([{**item, "sources_sig": source}])
        estimate = (
            torch.full((1, 800, 1), torch.nan) if number else source[None]
        )
        loss = brain.compute_objectives(estimate, batch, Stage.VALID)
        assert loss == "the loss"
    brain.on_stage_end(Stage.VALID, 0.0, epoch)


def test_first_validation_mixtures_can_be_heard(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator

    board = TensorboardLogger(str(tmp_path / "board"))
    log = FileTrainLogger(str(tmp_path / "train_log.txt"))
    brain = Reported(tmp_path, [log, board])
    for epoch in range(1, 6):
        validate(brain, epoch)
        board.log_stats({"epoch": epoch})
    board.writer.flush()
    shown = event_accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    names = ("mixture", "estimate s1", "reference s1")
    tags = [f"{clip}/{name}" for clip in ("a_SER", "b_SER") for name in names]
    assert sorted(shown.Tags()["audio"]) == sorted(tags)
    for tag in tags:
        assert [clip.step for clip in shown.Audio(tag)] == [0, 4]
    assert not (tmp_path / "train_log.txt").exists()


def test_clips_never_exceed_full_scale_and_nan_is_silence(tmp_path):
    heard = {}
    board = SimpleNamespace(
        log_audio=lambda name, signal, rate: heard.update({name: signal})
    )
    validate(Reported(tmp_path, [board]), 1)
    assert np.abs(heard["a_SER/mixture"]).max() == pytest.approx(1)
    assert not heard["b_SER/estimate s1"].any()
    heard.clear()
    validate(Reported(tmp_path, [board]), 2)
    assert heard == {}
