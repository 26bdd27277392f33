"""The report of documented test commands, on the sample corpus."""

import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from recipe import SAMPLES, SEPARATION
from reliability.checksums import SUMS, seal
from test_train import succeed, train, trained  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.fixture
def run(trained, tmp_path):  # noqa: F811
    """A copy of a run for ES, to be tested again."""
    return shutil.copytree(trained[0], tmp_path / "run")


def read_all(folder):
    """Name -> signal of the WAV files of a folder."""
    return {path.name: soundfile.read(path)[0] for path in folder.glob("*.wav")}


def test_saved_audio_is_what_was_scored(run):
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


def test_a_number_of_saved_mixtures_is_spread_over_settings(run):
    succeed(
        run,
        *[
            "--test_only",
            "--metrics=[si_sdr]",
            "--save_audio=2",
            "--latex=True",
        ],
    )
    names = {path.name.rsplit("_", 3)[0] for path in run.glob("audio/*.wav")}
    scores = pd.read_csv(run / "test_scores.csv")
    saved = scores[scores["ID"].isin({n.rsplit("_", 1)[0] for n in names})]
    assert saved.groupby("setting")["ID"].nunique().to_dict() == {
        "indoor": 1,
        "outdoor": 1,
    }
    assert "\\toprule" in (run / "test_summary.tex").read_text()


def test_strata_of_the_yaml_come_from_manifests_and_metadata(run):
    names = ["scene_class", "setting", "SSR", "decay", "si_sdr_mix"]
    strata = "[" + ", ".join(names) + "]"
    succeed(run, "--test_only", "--metrics=[si_sdr]", f"--strata={strata}")
    table = pd.read_csv(run / "test_strata.csv")
    assert list(table["stratum"].unique()) == names
    scores = pd.read_csv(run / "test_scores.csv")
    manifest = pd.concat(
        pd.read_csv(run / f"save/test_{variant}.csv")
        for variant in scores["variant"].unique()
    ).drop_duplicates("ID")
    joined = scores.merge(manifest[["ID", "scene_class", "ssr_db"]], on="ID")
    for name, column in (("scene_class", "scene_class"), ("SSR", "ssr_db")):
        part = table[table["stratum"] == name].set_index("value")
        part.index = part.index.astype(str)
        for value, rows in joined.groupby(column):
            found = part.loc[str(value)]
            assert found["n"] == len(rows)
            assert found["si_sdri_mean"] == pytest.approx(
                rows["si_sdri"].mean(), abs=1e-5
            )
            assert found["few"] == (len(rows) < 10)
    assert (table.groupby("stratum")["n"].sum() == len(scores)).all()


def test_unknown_strata_stop_before_the_training(tmp_path):
    done = train(tmp_path / "run", "--strata=[sceneclass]")
    assert done.returncode != 0
    assert "'sceneclass' is no column of the scores" in done.stdout
    assert "scene_class" in done.stdout
    assert not list(tmp_path.glob("run/save/CKPT*"))


def test_a_metric_of_ones_own_is_a_function_and_a_line(run, tmp_path):
    (tmp_path / "my_metrics.py").write_text(
        "def peak(estimate, reference, sample_rate):\n"
        "    return abs(estimate).max()\n"
    )
    succeed(
        run,
        *["--test_only", "--metrics=[stoi, my_metrics.peak]"],
        env={"PYTHONPATH": str(tmp_path)},
    )
    scores = pd.read_csv(run / "test_scores.csv")
    assert list(scores)[-4:] == ["stoi", "stoi_mix", "peak", "peak_mix"]
    assert scores["peak_mix"].between(0.001, 1).all()
    assert "peak_mean" in pd.read_csv(run / "test_summary.csv")


def test_scores_of_mixtures_are_computed_once(run, tmp_path):
    options = ["--test_only", f"--cache_folder={tmp_path / 'cache'}"]
    succeed(run, *options)
    first = (run / "test_scores.csv").read_bytes()
    database = tmp_path / "cache/baselines.sqlite"
    rows = pd.read_csv(run / "test_scores.csv")
    with sqlite3.connect(database) as connection:
        count = connection.execute("SELECT COUNT(*) FROM scores").fetchone()
        assert count[0] == 5 * len(rows)
        # The second test takes what is there: here a number of its own.
        connection.execute("UPDATE scores SET score = 77")
    succeed(run, *options)
    again = pd.read_csv(run / "test_scores.csv")
    assert (again["pesq_mix"] == 77).all()
    assert np.allclose(again["pesq"], rows["pesq"])
    database.write_bytes(b"this is no database, and long enough to be one")
    output = succeed(run, *options)
    assert (run / "test_scores.csv").read_bytes() == first
    assert "file is not a database" in output


def test_a_model_of_nans_is_a_failure_and_a_warning(run):
    for path in run.glob("save/CKPT*/decoder.ckpt"):
        weights = torch.load(path, weights_only=True)
        torch.save({k: v * torch.nan for k, v in weights.items()}, path)
        path.with_name(SUMS).unlink()
        seal(path.parent)
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


def test_variants_without_a_mixture_are_reported_as_such(run, tmp_path):
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


def test_report_command_compares_runs_and_writes_tables_again(run, tmp_path):
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
