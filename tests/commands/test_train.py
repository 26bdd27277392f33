"""The documented commands as subprocesses, on the sample corpus."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from checkpoints.checksums import CHECKSUMS, write_checksums
from corpora import make_corpus
from prepare_polsess import data_root
from recipe import SAMPLES, SEPARATION
from variants import FILE_COLUMNS, default_variants, source_names

from speechbrain.dataio.dataio import load_data_csv

# A network and a schedule that take seconds.
TINY = (
    "--N=16 --B=8 --H=16 --X=2 --R=1 --kernel_size=32 --stride=16 "
    "--number_of_epochs=2 --batch_size=2 --segment_seconds=1.0 "
    "--grad_accumulation_factor=1 --num_workers=0 --noprogressbar --device=cpu"
).split()


def train(output_folder, *options, data_folder=SAMPLES, env=None, name=None):
    """Runs train.py; returns the finished process."""
    given = {option.split("=")[0] for option in options}
    command = [
        sys.executable,
        "train.py",
        f"hparams/{name or 'convtasnet.yaml'}",
        f"--output_folder={output_folder}",
        *[o for o in TINY if o.split("=")[0] not in given],
        *options,
    ]
    if data_folder is not None:
        command.append(f"--data_folder={data_folder}")
    return subprocess.run(
        command,
        cwd=SEPARATION,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "POLSESS_DATA_ROOT": "", **(env or {})},
        timeout=300,
        check=False,
    )


def succeed(*arguments, **keywords):
    """Runs train.py, which must succeed; returns its output."""
    done = train(*arguments, **keywords)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def weights_of(run):
    """Bytes of the newest checkpoint's network."""
    newest = max((run / "save").glob("CKPT*"), key=lambda p: p.stat().st_mtime)
    return [
        (newest / f"{part}.ckpt").read_bytes()
        for part in ("encoder", "masknet", "decoder")
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two epochs for ES with all metrics."""
    run = tmp_path_factory.mktemp("trained") / "run"
    output = succeed(run)
    return run, output


def test_run_leaves_what_the_readme_says(trained):
    run, output = trained
    for name in (
        "test_scores.csv",
        "test_summary.csv",
        "test_summary.md",
        "test_strata.csv",
        "test_strata.md",
        "report.html",
        "train_log.txt",
        "log.txt",
        "env.log",
        "hyperparams.yaml",
        "train.py",
        "save/train_SER.csv",
        "save/audit.csv",
    ):
        assert (run / name).is_file(), name
    log = (run / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch: 1", "epoch: 2"]
    table = (run / "test_summary.md").read_text().split("\n\n")[0]
    assert table in output
    assert list(run.glob("tensorboard/events*"))
    assert not list(run.glob("audio")) and not list(run.glob("*.tex"))


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
            mixture = read["mix_wav"].copy()
            if "S" not in variant:
                mixture -= read["scene_wav"]
            if "E" not in variant:
                mixture -= read["event_wav"] + read.get("event_reverb_wav", 0)
            if "R" not in variant:
                mixture -= read.get("s1_reverb_wav", 0)
                mixture -= read.get("s2_reverb_wav", 0)
            if task == "ES":
                mixture -= read["s2_wav"]
                if "R" in variant:
                    mixture -= read["s2_reverb_wav"]
            references = {
                "s1": read["s1_wav"],
                "s2": read["s2_wav"],
                "s1+s2": read["s1_wav"] + read["s2_wav"],
            }
            for source in source_names(task):
                r = np.corrcoef(mixture, references[source])[0, 1]
                baseline[mixture_id, variant, source] = 10 * np.log10(
                    r**2 / (1 - r**2)
                )
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


def test_mixture_columns_agree_with_an_independent_computation(trained):
    run, _ = trained
    scores = check_scores(run, SAMPLES, "ES")
    assert list(scores.columns) == (
        "ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri,"
        "sdr,sdr_mix,pesq,pesq_mix,stoi,stoi_mix,estoi,estoi_mix"
    ).split(",")
    summary = pd.read_csv(run / "test_summary.csv").set_index("variant")
    assert list(summary.index)[:7] == default_variants("ES")
    by_variant = scores.groupby("variant")["si_sdri"].mean()
    assert summary.loc["macro mean", "si_sdri_mean"] == pytest.approx(
        by_variant.mean(), abs=1e-5
    )


@pytest.mark.parametrize("task", ["EB", "SB"])
def test_other_tasks(tmp_path, task):
    run = tmp_path / "run"
    succeed(run, f"--task={task}", "--metrics=[si_sdr]", "--number_of_epochs=1")
    check_scores(run, SAMPLES, task)
    summary = pd.read_csv(run / "test_summary.csv")
    c_rows = summary[summary["variant"] == "C"]["setting"].tolist()
    assert c_rows == (["indoor", "outdoor"] if task == "SB" else [])


def test_test_only_repeats_the_test_and_needs_no_other_split(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    before = (run / "test_scores.csv").read_bytes()
    weights = weights_of(run)
    corpus = tmp_path / "OnlyTest"

    shutil.copytree(SAMPLES / "test", corpus / "test")
    for folder in (SAMPLES, corpus):
        succeed(run, "--test_only", data_folder=folder)
        assert (run / "test_scores.csv").read_bytes() == before
    assert weights_of(run) == weights


def test_fast_mode_and_chosen_variants(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    full = pd.read_csv(run / "test_scores.csv")
    succeed(run, "--test_only", "--metrics=[si_sdr]", "--test_variants=[S, R]")
    fast = pd.read_csv(run / "test_scores.csv")
    assert set(fast["variant"]) == {"S", "R"}
    columns = ["ID", "variant", "source", "si_sdr", "si_sdr_mix", "si_sdri"]
    wanted = full[full["variant"].isin(["S", "R"])][columns]
    pd.testing.assert_frame_equal(
        fast[columns].reset_index(drop=True),
        wanted.set_index(["ID", "variant"])
        .loc[list(zip(fast["ID"], fast["variant"]))]
        .reset_index()[columns],
    )
    assert "pesq" not in fast


def test_resume_after_an_epoch_gives_the_undisturbed_model(tmp_path):
    options = [
        "--metrics=[si_sdr]",
        "--curriculum=[{epoch: 2, variants: [S, R]}]",
    ]
    succeed(tmp_path / "whole", *options, "--number_of_epochs=3")
    succeed(tmp_path / "parts", *options, "--number_of_epochs=1")
    first = weights_of(tmp_path / "parts")
    output = succeed(tmp_path / "parts", *options, "--number_of_epochs=3")
    assert "Going into epoch 2" in output
    assert "Going into epoch 1" not in output
    assert weights_of(tmp_path / "parts") == weights_of(tmp_path / "whole")
    assert first != weights_of(tmp_path / "whole")  # negative control
    logs = [
        re.sub(
            r"(_seconds|_per_second): [\d.e+-]+",
            "",
            (tmp_path / name / "train_log.txt").read_text(),
        )
        for name in ("parts", "whole")
    ]
    assert logs[0] == logs[1]
    scores = [
        (tmp_path / name / "test_scores.csv").read_bytes()
        for name in ("parts", "whole")
    ]
    assert scores[0] == scores[1]


def test_a_checkpoint_cut_off_by_a_kill_is_set_aside(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    scores = (run / "test_scores.csv").read_bytes()
    newest = sorted((run / "save").glob("CKPT+*"))[-1]
    for number, part in enumerate(("masknet", "optimizer", "encoder")):
        broken = newest.with_name(f"CKPT+2099-01-0{number + 1}+00-00-00+00")
        shutil.copytree(newest, broken)
        file = broken / f"{part}.ckpt"
        if number == 2:
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[: number * 100])
    output = succeed(run)
    for name in ("masknet.ckpt is not what was", "encoder.ckpt"):
        assert name in output
    assert output.count("another checkpoint is used") == 3
    assert len(list((run / "save").glob("BROKEN+2099*"))) == 3
    assert (run / "test_scores.csv").read_bytes() == scores


def test_workers_do_not_change_the_model(tmp_path):
    options = ["--metrics=[si_sdr]", "--number_of_epochs=2"]
    succeed(tmp_path / "none", *options)
    succeed(tmp_path / "two", *options, "--num_workers=2")
    assert weights_of(tmp_path / "none") == weights_of(tmp_path / "two")


def test_init_from_starts_with_the_weights_of_another_run(trained, tmp_path):
    run, _ = trained
    options = ["--metrics=[si_sdr]", "--lr=1e-12"]
    succeed(tmp_path / "tuned", *options, f"--init_from={run}")
    tuned = pd.read_csv(tmp_path / "tuned/test_scores.csv")["si_sdr"]
    source = pd.read_csv(run / "test_scores.csv")["si_sdr"]
    assert np.allclose(tuned, source, atol=1e-2)
    done = train(tmp_path / "no", "--task=SB", f"--init_from={run / 'save'}")
    assert done.returncode != 0
    assert "another size or number of outputs" in done.stdout


def test_foreign_corpora_train_with_one_command(tmp_path):
    """Two roots at 16 kHz, own names, mixtures of different lengths."""
    roots = [tmp_path / "my indoor data", tmp_path / "Outdoor_2"]
    sizes = {"train": 3, "val": 2, "test": 2}
    indoor = {subset: (n, 0) for subset, n in sizes.items()}
    outdoor = {subset: (0, n) for subset, n in sizes.items()}
    make_corpus(roots[0], indoor, 16000, seconds=0.7, seed=1)
    make_corpus(roots[1], outdoor, 16000, seconds=1.3, seed=2)
    options = ["--sample_rate=16000"]
    both = f"[{roots[0]}, {roots[1]}]"
    succeed(tmp_path / "both", *options, data_folder=both)
    scores = check_scores(tmp_path / "both", roots, "ES")
    assert set(scores["variant"]) == set(default_variants("ES"))

    output = succeed(tmp_path / "out", *options, data_folder=roots[1])
    check_scores(tmp_path / "out", roots[1], "ES")
    scores = pd.read_csv(tmp_path / "out/test_scores.csv")
    assert set(scores["variant"]) == {"SE", "S", "E"}
    assert "no mixture with variant SER" in output

    done = train(tmp_path / "rate", data_folder=roots[1])
    assert done.returncode != 0
    assert "found 16000 Hz; run with --sample_rate=16000" in done.stdout


def test_limits_and_environment_variable(tmp_path):
    succeed(
        tmp_path / "run",
        *["--metrics=[si_sdr]", "--n_train=4", "--n_valid=2", "--n_test=2"],
        data_folder=None,
        env={"POLSESS_DATA_ROOT": str(SAMPLES)},
    )
    scores = pd.read_csv(tmp_path / "run/test_scores.csv")
    assert scores.groupby("setting")["ID"].nunique().tolist() == [1, 1]


@pytest.mark.parametrize(
    "options, data_folder, message",
    [
        ([], None, "POLSESS_DATA_ROOT"),
        (["--task=XY"], SAMPLES, "expected one of ES, EB, SB"),
        (["--variants=[SRE]"], SAMPLES, "'SRE' is none of"),
        (["--test_variants=[]"], SAMPLES, "variants: expected a list out of"),
        (["--n_valid=0"], SAMPLES, "n_valid: expected a positive integer"),
        (["--metrics=[speed]"], SAMPLES, "metrics: expected a list out of"),
        (["--stride=8"], SAMPLES, "expected 16 for kernel_size 32, found 8"),
        (["--num_spks=2"], SAMPLES, "num_spks follows from the task"),
        (["--segment_seconds=0.001"], SAMPLES, "too short for the network"),
        (["--causal=True"], SAMPLES, "--norm_type=cLN"),
        (["--test_only"], SAMPLES, "expected a checkpoint to test"),
    ],
)
def test_mistakes_end_with_one_clear_message(
    tmp_path, options, data_folder, message
):
    done = train(tmp_path / "run", *options, data_folder=data_folder)
    assert done.returncode != 0
    assert message in done.stdout[-800:]
    assert not list(tmp_path.glob("run/save/CKPT*"))


def read_all(folder):
    """Name -> signal of the WAV files of a folder."""
    return {path.name: soundfile.read(path)[0] for path in folder.glob("*.wav")}


def test_saved_audio_is_what_was_scored(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    succeed(run, "--test_only", "--metrics=[si_sdr]", "--save_audio=all")
    saved = read_all(run / "audio")
    scores = pd.read_csv(run / "test_scores.csv")
    assert len(saved) == 3 * len(scores)
    for row in scores.to_dict("records"):
        stem = f"{row['ID']}_{row['variant']}"
        estimate = saved[f"{stem}_estimate_s1.wav"]
        reference = saved[f"{stem}_reference_s1.wav"]
        mixture = saved[f"{stem}_mixture.wav"]
        for column, signal in (("si_sdr", estimate), ("si_sdr_mix", mixture)):
            r = np.corrcoef(signal, reference)[0, 1]
            expected = 10 * np.log10(r**2 / (1 - r**2))
            assert row[column] == pytest.approx(expected, abs=0.01)
        # The factor that brings it closest to the reference is 1.
        assert estimate @ reference == pytest.approx(
            estimate @ estimate, rel=1e-4
        )
        stored = SAMPLES / "test/clean" / f"{row['ID'].split('-')[0]}.wav"
        np.testing.assert_allclose(
            reference, soundfile.read(stored)[0], atol=1e-7
        )


def test_a_model_of_nans_is_a_failure_and_a_warning(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    for path in run.glob("save/CKPT*/decoder.ckpt"):
        weights = torch.load(path, weights_only=True)
        torch.save({k: v * torch.nan for k, v in weights.items()}, path)
        path.with_name(CHECKSUMS).unlink()
        write_checksums(path.parent)
    output = succeed(run, "--test_only", "--metrics=[si_sdr, sdr]")
    scores = pd.read_csv(run / "test_scores.csv")
    assert scores["si_sdr"].isna().all() and scores["sdr"].isna().all()
    assert scores["si_sdr_mix"].notna().all()
    summary = pd.read_csv(run / "test_summary.csv").set_index("variant")
    assert (summary["si_sdr_failures"] == summary["n"]).all()
    assert summary["si_sdr_mean"].isna().all()
    n = len(scores)
    assert f"{n} of {n} rows have no si_sdr" in output[-2000:]
    assert f"{n} of {n} rows have no sdr" in (run / "report.html").read_text()


def test_variants_without_a_mixture_are_reported_as_such(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    corpus = tmp_path / "OnlyTest"
    shutil.copytree(SAMPLES / "test", corpus / "test")
    path = next(corpus.rglob("*final.csv"))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table[table["reverbForSpeaker1"] != ""].to_csv(path, index=False)
    output = succeed(
        run, "--test_only", "--metrics=[si_sdr]", data_folder=corpus
    )
    summary = pd.read_csv(run / "test_summary.csv").set_index("variant")
    for variant in ("SE", "S", "E"):
        assert summary.loc[variant, "n"] == 0
        assert np.isnan(summary.loc[variant, "si_sdri_mean"])
    assert "no test mixture has the variant SE, S, E" in output[-1000:]
    assert "0 (no mixtures)" in (run / "test_summary.md").read_text()


def test_report_command_compares_runs_and_writes_tables_again(
    trained, tmp_path
):
    run = shutil.copytree(trained[0], tmp_path / "run")
    other = shutil.copytree(run, tmp_path / "other")
    scores = pd.read_csv(other / "test_scores.csv")
    scores[["si_sdr", "si_sdri"]] += 1.5
    scores.to_csv(other / "test_scores.csv", index=False)

    def report(*arguments):
        return subprocess.run(
            [sys.executable, "report.py", *map(str, arguments)],
            cwd=SEPARATION,
            capture_output=True,
            text=True,
            check=False,
        )

    done = report("compare", run, other, "--output", tmp_path / "c.csv")
    assert done.returncode == 0, done.stderr
    assert "+1.50 [+1.50, +1.50]" in done.stdout
    table = pd.read_csv(tmp_path / "c.csv")
    improved = table[table["score"] == "si_sdri"]
    assert np.allclose(improved["difference"], 1.5)
    scores.iloc[1:].to_csv(other / "test_scores.csv", index=False)
    done = report("compare", run, other)
    assert done.returncode == 1
    assert "not tested on the same rows: 1 of" in done.stderr
    before = (run / "test_summary.csv").read_bytes()
    done = report("tables", run, "--strata", "sceneClass", "--latex")
    assert done.returncode == 0, done.stderr
    assert (run / "test_summary.csv").read_bytes() == before
    assert "By sceneClass" in (run / "test_strata.md").read_text()


def test_the_example_of_the_readme_logs_to_wandb(tmp_path):
    readme = (SEPARATION / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n( +- .*?)```", readme, re.S)
    text = (SEPARATION / "hparams/convtasnet.yaml").read_text(encoding="utf-8")
    (tmp_path / "wandb.yaml").write_text(text + example, encoding="utf-8")
    succeed(
        tmp_path / "run",
        *["--metrics=[si_sdr]", "--number_of_epochs=1"],
        name=os.path.relpath(tmp_path / "wandb.yaml", SEPARATION / "hparams"),
        env={"WANDB_MODE": "offline"},
    )
    assert list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
