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
from recipe import ROOT, SAMPLES, SEPARATION, hparams_of

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
    found = {p.relative_to(tmp_path) for p in tmp_path.rglob("*.*")}
    assert len(found) == 12
    for path in found:
        assert (CORPUS / path).read_bytes() == (tmp_path / path).read_bytes()


def words(data_folder, model, output_folder, *options):
    """The documented command."""
    return [
        *("train.py", f"hparams/{NAME}", f"--data_folder={data_folder}"),
        *(f"--init_from={model}", f"--output_folder={output_folder}"),
        *("--num_workers=0", "--device=cpu", "--noprogressbar", *options),
    ]


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


def test_scores_of_a_trained_model_agree_with_the_formula(server, tmp_path):
    run = tmp_path / "run"
    trained = server.train(
        *(run, "--task=SB", "--metrics=[si_sdr]", "--number_of_epochs=1")
    )
    assert trained.code == 0, trained.output[-3000:]
    corpus = make_libri2mix(tmp_path / "Libri2Mix", excerpts(SAMPLES))
    weights = read_all(next(run.glob("save/CKPT*")))
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, *words(tmp_path, run, out, "--metrics=[si_sdr, sdr]")],
        cwd=SEPARATION,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert read_all(next(run.glob("save/CKPT*"))) == weights
    scores = pd.read_csv(out / "test_scores.csv")
    assert len(scores) == 4 * 2 * 2
    table = scores.set_index(["ID", "variant", "source"])
    model = load_trained(run)
    for number, (variant, kind) in itertools.product(
        range(4), (("C", "mix_clean"), ("S", "mix_both"))
    ):
        expected = independent_scores(corpus, model, number, kind)
        for source, pair in zip(("s1", "s2"), expected):
            row = table.loc[(mixture_id(number), variant, source)]
            found = list(row[["si_sdr", "si_sdri"]])
            assert found == pytest.approx(pair, abs=0.01)
    summary = pd.read_csv(out / "test_summary.csv")
    assert list(summary["variant"])[:2] == ["S", "C"]
    for name in ("test_strata.md", "record/start-0001.json"):
        assert (out / name).is_file()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "such as Libri2Mix" in page
    assert "outdoor" not in page.split("kpis")[0]
    assert not list(out.glob("save/CKPT*"))


def test_a_clean_corpus_is_tested_alone_and_twice_the_same(server, tmp_path):
    make_libri2mix(tmp_path, [tones(0), tones(1, 4100)], ("mix_clean",))
    scores = []
    for _ in range(2):
        options = (tmp_path / "out", "--metrics=[si_sdr]")
        command = words(tmp_path, MODEL, *options)
        done = server.start(tmp_path / "out", *command).end()
        assert done.code == 0, done.output[-3000:]
        assert done.output.count(": S is not tested") == 1
        scores.append((tmp_path / "out/test_scores.csv").read_bytes())
    assert scores[0] == scores[1]
    summary = pd.read_csv(tmp_path / "out/test_summary.csv")
    assert summary["n"].tolist()[:2] == [0, 4]
    compared = server.call(tmp_path, "report.py", "tables", tmp_path / "out")
    assert compared.code == 0, compared.output


def test_the_command_says_what_model_it_needs(server, tmp_path):
    command = words(CORPUS, "", tmp_path / "out")
    done = server.start(tmp_path / "out", *command).end()
    assert done.code == 1
    assert "init_from: expected a trained model" in done.output[-500:]
    assert not (tmp_path / "out/save").exists()
