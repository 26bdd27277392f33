"""A trained model is tested on Libri2Mix by the documented command."""

import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from corpora import read_all
from inference.trained import load_trained
from libri2mix import excerpts, make_libri2mix, mixture_id, samples_of, tones
from recipe import HPARAMS, ROOT, SAMPLES, SEPARATION, hparams_of
from test_train import succeed

NAME = "test_libri2mix.yaml"
MODEL = ROOT / "tests/samples/PolSESS_model"
CORPUS = ROOT / "tests/samples/PolSESS_Libri2Mix"


def test_the_yaml_has_the_keys_of_the_others_in_their_order():
    found = list(hparams_of(NAME, init_from=str(MODEL)))
    keys = [key for key in hparams_of() if key in found]
    assert set(found) - set(keys) == {"test_only", "model"}
    assert [key for key in found if key in keys] == keys


def test_samples_are_those_that_their_readme_makes(tmp_path):
    make_libri2mix(tmp_path, excerpts(SAMPLES)[:2])
    found = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert len(found) == 12
    for path in found:
        kept = CORPUS / path.relative_to(tmp_path)
        assert kept.read_bytes() == path.read_bytes()


def run_test(data_folder, model, output_folder, *options):
    """Runs the documented command; returns the finished process."""
    return subprocess.run(
        [
            sys.executable,
            "train.py",
            str(HPARAMS / NAME),
            f"--data_folder={data_folder}",
            f"--init_from={model}",
            f"--output_folder={output_folder}",
            "--num_workers=0",
            "--device=cpu",
            "--noprogressbar",
            *options,
        ],
        cwd=SEPARATION,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def si_sdr(estimate, reference):
    """Zero-mean SI-SDR in dB, by its formula."""
    estimate = estimate - estimate.mean()
    reference = reference - reference.mean()
    scale = estimate @ reference / (reference @ reference)
    error = estimate - scale * reference
    return 10 * np.log10(scale**2 * (reference @ reference) / (error @ error))


def independent_scores(corpus, model, number, kind):
    """SI-SDR and SI-SDRi of both sources in the better order."""
    mixture = samples_of(corpus, kind, number)
    sources = [samples_of(corpus, name, number) for name in ("s1", "s2")]
    with torch.no_grad():
        batch = torch.from_numpy(mixture).float().unsqueeze(0)
        estimates = model.separator(batch)[0].double().numpy().T
    orders = [
        [si_sdr(e, s) for e, s in zip(order, sources)]
        for order in itertools.permutations(estimates)
    ]
    best = max(orders, key=sum)
    return [(x, x - si_sdr(mixture, s)) for x, s in zip(best, sources)]


def test_scores_of_a_trained_model_agree_with_the_formula(tmp_path):
    run = tmp_path / "run"
    succeed(run, "--task=SB", "--metrics=[si_sdr]", "--number_of_epochs=1")
    corpus = make_libri2mix(tmp_path / "Libri2Mix", excerpts(SAMPLES))
    weights = read_all(next(run.glob("save/CKPT*")))
    done = run_test(tmp_path, run, tmp_path / "out", "--metrics=[si_sdr, sdr]")
    assert done.returncode == 0, done.stdout[-3000:]
    assert read_all(next(run.glob("save/CKPT*"))) == weights
    scores = pd.read_csv(tmp_path / "out/test_scores.csv")
    assert len(scores) == 4 * 2 * 2
    table = scores.set_index(["ID", "variant", "source"])
    model = load_trained(run)
    for number, (variant, kind) in itertools.product(
        range(4), (("C", "mix_clean"), ("S", "mix_both"))
    ):
        expected = independent_scores(corpus, model, number, kind)
        for source, pair in zip(("s1", "s2"), expected):
            row = table.loc[(mixture_id(number), variant, source)]
            assert list(row[["si_sdr", "si_sdri"]]) == pytest.approx(
                pair, abs=0.01
            )
    summary = pd.read_csv(tmp_path / "out/test_summary.csv")
    assert list(summary["variant"])[:2] == ["S", "C"]
    for name in ("test_strata.md", "report.html", "record/start-0001.json"):
        assert (tmp_path / "out" / name).is_file()
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert (
        "such as Libri2Mix" in page and "outdoor" not in page.split("kpis")[0]
    )
    assert not list((tmp_path / "out").glob("save/CKPT*"))


def test_a_clean_corpus_is_tested_alone_and_twice_the_same(tmp_path):
    make_libri2mix(tmp_path, [tones(0), tones(1, 4100)], ("mix_clean",))
    scores = []
    for _ in range(2):
        done = run_test(tmp_path, MODEL, tmp_path / "out")
        assert done.returncode == 0, done.stdout[-3000:]
        assert done.stdout.count(": S is not tested") == 1
        scores.append((tmp_path / "out/test_scores.csv").read_bytes())
    assert scores[0] == scores[1]
    summary = pd.read_csv(tmp_path / "out/test_summary.csv")
    assert summary["n"].tolist()[:2] == [0, 4]
    compared = subprocess.run(
        [sys.executable, "report.py", "tables", tmp_path / "out"],
        cwd=SEPARATION,
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stderr


def test_the_command_says_what_model_it_needs(tmp_path):
    done = run_test(CORPUS, "", tmp_path / "out")
    assert done.returncode == 1
    assert "init_from: expected a trained model" in done.stdout[-500:]
    assert not (tmp_path / "out/save").exists()
