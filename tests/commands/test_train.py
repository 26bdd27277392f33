"""Trainings and tests by train.py, from its options to the files it leaves."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from checkpoints.checksums import CHECKSUMS, write_checksums
from corpora import make_corpus
from prepare_polsess import data_root
from recipe import SAMPLES
from run_folders import digest
from variants import FILE_COLUMNS, default_variants, source_names

from speechbrain.dataio.dataio import load_data_csv

FAST = "--metrics=[si_sdr]"


@pytest.fixture
def train(server):
    """Runs train.py, which must succeed; returns what it printed."""

    def succeed(*arguments, **keywords):
        ended = server.train(*arguments, **keywords)
        assert ended.code == 0, ended.output[-3000:]
        return ended.output

    return succeed


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def only_test(tmp_path):
    """The test part of the corpus, alone."""
    shutil.copytree(SAMPLES / "test", tmp_path / "OnlyTest/test")
    return tmp_path / "OnlyTest"


def si_sdr(estimate, reference):
    """In dB, of signals with means: a function of their correlation alone."""
    r = np.corrcoef(estimate, reference)[0, 1]
    return 10 * np.log10(r**2 / (1 - r**2))


def independent_mixture(read, variant, task):
    """What is left of a mixture when files are subtracted from it."""
    mixture = read["mix_wav"].copy()
    if "S" not in variant:
        mixture -= read["scene_wav"]
    if "E" not in variant:
        mixture -= read["event_wav"] + read.get("event_reverb_wav", 0)
    if "R" not in variant:
        mixture -= read.get("s1_reverb_wav", 0) + read.get("s2_reverb_wav", 0)
    if task == "ES":
        mixture -= read["s2_wav"]
        if "R" in variant:
            mixture -= read["s2_reverb_wav"]
    return mixture


def independent_baseline(run, corpus, task):
    """Input SI-SDR of every test row, from the files, in numpy."""
    baseline = {}
    for variant in default_variants(task):
        path = run / f"save/test_{variant}.csv"
        rows = load_data_csv(path, {"data_root": data_root(corpus)})
        for mixture_id, row in rows.items():
            read = {
                column: soundfile.read(row[column])[0]
                for column in FILE_COLUMNS
                if row[column]
            }
            mixture = independent_mixture(read, variant, task)
            references = {
                "s1": read["s1_wav"],
                "s2": read["s2_wav"],
                "s1+s2": read["s1_wav"] + read["s2_wav"],
            }
            for source in source_names(task):
                expected = si_sdr(mixture, references[source])
                baseline[mixture_id, variant, source] = expected
    return baseline


def check_scores(run, corpus, task):
    """Every test row is there once, with the right mixture column."""
    scores = pd.read_csv(run / "test_scores.csv")
    found = scores.set_index(["ID", "variant", "source"])["si_sdr_mix"]
    expected = independent_baseline(run, corpus, task)
    assert found.index.is_unique
    assert set(found.index) == set(expected)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=0.01), key
    return scores


def test_run_leaves_what_the_readme_says(trained):
    for name in (
        "test_scores.csv test_summary.csv test_summary.md test_strata.csv "
        "test_strata.md report.html train_log.txt log.txt env.log "
        "hyperparams.yaml train.py save/train_SER.csv save/audit.csv"
    ).split():
        assert (trained / name).is_file(), name
    log = (trained / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch: 1", "epoch: 2"]
    table = (trained / "test_summary.md").read_text().split("\n\n")[0]
    assert table in trained.with_suffix(".out").read_text()
    assert list(trained.glob("tensorboard/events*"))
    assert not list(trained.glob("audio")) and not list(trained.glob("*.tex"))


def test_scores_and_means_agree_with_an_independent_computation(trained):
    scores = check_scores(trained, SAMPLES, "ES")
    assert list(scores.columns) == (
        "ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri,"
        "sdr,sdr_mix,pesq,pesq_mix,stoi,stoi_mix,estoi,estoi_mix"
    ).split(",")
    summary = pd.read_csv(trained / "test_summary.csv").set_index("variant")
    assert list(summary.index)[:7] == default_variants("ES")
    by_variant = scores.groupby("variant")["si_sdri"].mean()
    assert summary.loc["macro mean", "si_sdri_mean"] == pytest.approx(
        by_variant.mean(), abs=1e-5
    )


@pytest.mark.parametrize("task", ["EB", "SB"])
def test_other_tasks(train, tmp_path, task):
    run = tmp_path / "run"
    train(run, f"--task={task}", FAST, "--number_of_epochs=1")
    check_scores(run, SAMPLES, task)
    summary = pd.read_csv(run / "test_summary.csv")
    c_rows = summary[summary["variant"] == "C"]["setting"].tolist()
    assert c_rows == (["indoor", "outdoor"] if task == "SB" else [])


def test_test_only_repeats_the_test_and_needs_no_other_split(
    train, run, only_test
):
    before, weights = (run / "test_scores.csv").read_bytes(), digest(run)
    train(run, "--test_only", data_folder=only_test)
    assert (run / "test_scores.csv").read_bytes() == before
    assert digest(run) == weights


def test_audio_of_chosen_variants_is_what_was_scored(train, run, tmp_path):
    labels = ["ID", "variant", "setting", "source"]
    full = pd.read_csv(run / "test_scores.csv").set_index(labels)
    options = [FAST, "--test_variants=[S, R]", "--save_audio=all"]
    train(run, "--test_only", *options)
    scores = pd.read_csv(run / "test_scores.csv").set_index(labels)
    assert set(scores.index.get_level_values("variant")) == {"S", "R"}
    assert list(scores.columns) == ["si_sdr", "si_sdr_mix", "si_sdri"]
    expected = full.loc[scores.index, scores.columns]
    pd.testing.assert_frame_equal(scores, expected)
    assert len(list((run / "audio").iterdir())) == 3 * len(scores)
    for (mixture_id, variant, *_), row in scores.iterrows():
        estimate, mixture, reference = (
            soundfile.read(run / f"audio/{mixture_id}_{variant}_{name}.wav")[0]
            for name in ("estimate_s1", "mixture", "reference_s1")
        )
        for column, signal in (("si_sdr", estimate), ("si_sdr_mix", mixture)):
            expected = si_sdr(signal, reference)
            assert row[column] == pytest.approx(expected, abs=0.01)
        # The factor that brings it closest to the reference is 1.
        power = estimate @ estimate
        assert estimate @ reference == pytest.approx(power, rel=1e-4)
        stored = SAMPLES / "test/clean" / f"{mixture_id.split('-')[0]}.wav"
        stored = soundfile.read(stored)[0]
        np.testing.assert_allclose(reference, stored, atol=1e-7)


def test_resume_after_an_epoch_gives_the_undisturbed_model(train, tmp_path):
    """Also with another number of workers."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [FAST, "--curriculum=[{epoch: 2, variants: [S, R]}]"]
    train(whole, *options, "--number_of_epochs=3", "--num_workers=2")
    train(parts, *options, "--number_of_epochs=1")
    first = digest(parts)
    output = train(parts, *options, "--number_of_epochs=3")
    assert "Going into epoch 2" in output
    assert "Going into epoch 1" not in output
    assert digest(parts) == digest(whole) != first
    logs, scores = [], []
    for run in (whole, parts):
        log = (run / "train_log.txt").read_text()
        logs.append(re.sub(r"(_seconds|_per_second): [\d.e+-]+", "", log))
        scores.append((run / "test_scores.csv").read_bytes())
    assert logs[0] == logs[1] and scores[0] == scores[1]


def test_init_from_starts_with_the_weights_of_another_run(
    train, server, trained, tmp_path
):
    train(tmp_path / "tuned", FAST, "--lr=1e-12", f"--init_from={trained}")
    tuned = pd.read_csv(tmp_path / "tuned/test_scores.csv")["si_sdr"]
    source = pd.read_csv(trained / "test_scores.csv")["si_sdr"]
    assert np.allclose(tuned, source, atol=1e-2)
    option = f"--init_from={trained / 'save'}"
    ended = server.train(tmp_path / "no", "--task=SB", option)
    assert ended.code == 1
    assert "another size or number of outputs" in ended.output


def test_foreign_corpora_train_with_one_command(train, server, tmp_path):
    """Two roots at 16 kHz, own names, mixtures of different lengths."""
    roots = [tmp_path / "my indoor data", tmp_path / "Outdoor_2"]
    sizes = {"train": 3, "val": 2, "test": 2}
    indoor = {subset: (n, 0) for subset, n in sizes.items()}
    outdoor = {subset: (0, n) for subset, n in sizes.items()}
    make_corpus(roots[0], indoor, 16000, seconds=0.7, seed=1)
    make_corpus(roots[1], outdoor, 16000, seconds=1.3, seed=2)
    options = ["--sample_rate=16000", FAST]
    both = f"[{roots[0]}, {roots[1]}]"
    train(tmp_path / "both", *options, data_folder=both)
    scores = check_scores(tmp_path / "both", roots, "ES")
    assert set(scores["variant"]) == set(default_variants("ES"))

    output = train(tmp_path / "out", *options, data_folder=roots[1])
    scores = check_scores(tmp_path / "out", roots[1], "ES")
    assert set(scores["variant"]) == {"SE", "S", "E"}
    assert "no mixture with variant SER" in output

    ended = server.train(tmp_path / "rate", data_folder=roots[1])
    assert ended.code == 1
    assert "found 16000 Hz; run with --sample_rate=16000" in ended.output


def test_limits_and_environment_variable(train, tmp_path):
    train(
        tmp_path / "run",
        *[FAST, "--n_train=4", "--n_valid=2", "--n_test=2"],
        data_folder=None,
        environment={"POLSESS_DATA_ROOT": str(SAMPLES)},
    )
    scores = pd.read_csv(tmp_path / "run/test_scores.csv")
    assert scores.groupby("setting")["ID"].nunique().tolist() == [1, 1]


def test_no_test_reads_no_test_split(server, train, tmp_path, only_test):
    corpus = tmp_path / "Untested"
    shutil.copytree(
        SAMPLES, corpus, ignore=lambda _, names: {"test"} & {*names}
    )
    run = tmp_path / "run"
    train(run, "--n_test=0", "--number_of_epochs=1", data_folder=corpus)
    assert list(run.glob("save/CKPT*"))
    assert list(run.rglob("valid_*.csv")) and not list(run.rglob("test_*"))
    ended = server.train(
        run, "--test_only", "--n_test=0", data_folder=only_test
    )
    assert ended.code == 1
    assert "n_test: expected a positive integer or null" in ended.output[-800:]


@pytest.mark.parametrize(
    "option, message",
    [
        ("--data_folder=", "POLSESS_DATA_ROOT"),
        ("--task=XY", "expected one of ES, EB, SB"),
        ("--variants=[SRE]", "'SRE' is none of"),
        ("--test_variants=[]", "variants: expected a list out of"),
        ("--n_valid=0", "n_valid: expected a whole number from 1"),
        ("--metrics=[speed]", "metrics: expected a list out of"),
        ("--stride=8", "expected 16 for kernel_size 32, found 8"),
        ("--num_spks=2", "num_spks follows from the task"),
        ("--segment_seconds=0.001", "too short for the network"),
        ("--causal=True", "--norm_type=cLN"),
        ("--test_only", "expected a checkpoint to test"),
    ],
)
def test_mistakes_end_with_one_clear_message(server, tmp_path, option, message):
    ended = server.train(tmp_path / "run", option)
    assert ended.code == 1
    assert message in ended.output[-800:]
    assert not list(tmp_path.glob("run/save/CKPT*"))


def test_a_model_of_nans_has_the_floor_and_a_warning(train, run):
    for path in run.glob("save/CKPT*/decoder.ckpt"):
        weights = torch.load(path, weights_only=True)
        torch.save({k: v * torch.nan for k, v in weights.items()}, path)
        path.with_name(CHECKSUMS).unlink()
        write_checksums(path.parent)
    output = train(run, "--test_only", "--metrics=[si_sdr, sdr]")
    scores = pd.read_csv(run / "test_scores.csv")
    assert (scores[["si_sdr", "sdr"]] == -100).all(axis=None)
    assert scores["si_sdr_mix"].notna().all()
    summary = pd.read_csv(run / "test_summary.csv").set_index("variant")
    assert (summary["silent"] == summary["n"]).all()
    assert (summary["si_sdr_mean"] == -100).all()
    warning = f"{len(scores)} of {len(scores)} rows have a silent estimate"
    assert warning in output[-2000:]
    assert warning in (run / "report.html").read_text()


def test_variants_without_a_mixture_are_reported_as_such(train, run, only_test):
    path = next(only_test.rglob("*final.csv"))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table[table["reverbForSpeaker1"] != ""].to_csv(path, index=False)
    output = train(run, "--test_only", FAST, data_folder=only_test)
    summary = pd.read_csv(run / "test_summary.csv").set_index("variant")
    for variant in ("SE", "S", "E"):
        assert summary.loc[variant, "n"] == 0
        assert np.isnan(summary.loc[variant, "si_sdri_mean"])
    assert "no test mixture has the variant SE, S, E" in output[-1000:]
    assert "0 (no mixtures)" in (run / "test_summary.md").read_text()
