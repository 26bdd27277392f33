"""Every YAML trains, is killed, resumes, tests, separates a file and exports."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from by_night import sampled
from inference.trained import load_trained
from made_runs import noise, put
from promises import MODEL
from run_folders import equal
from tiny_networks import BY_NAME, TINY, speech_like

# Loads an export with SpeechBrain alone, and separates what it is given.
LOAD = """
import sys, torch
folder, code, mixture, estimate = sys.argv[1:]
if code:
    from speechbrain.inference.interfaces import foreign_class
    model = foreign_class(source=folder, pymodule_file=code)
else:
    from speechbrain.inference.separation import SepformerSeparation
    model = SepformerSeparation.from_hparams(source=folder)
with torch.no_grad():
    torch.save(model.separate_batch(torch.load(mixture)), estimate)
"""


def check_export(folder, separator, code, mixture):
    """Asserts that SpeechBrain computes the same without the recipe."""
    paths = [folder.parent / name for name in ("mixture.pt", "estimate.pt")]
    torch.save(mixture, paths[0])
    words = [folder, code, *paths]
    subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, words)],
        cwd=folder.parent,
        env={"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PATH": ""},
        check=True,
        timeout=120,
    )
    with torch.no_grad():
        expected = separator(mixture - mixture.mean(1, keepdim=True))
    assert torch.allclose(torch.load(paths[1]), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.promise(MODEL)
@pytest.mark.parametrize(
    "name",
    sampled(list(BY_NAME), lambda name: name in ("SepFormer", "TF-Locoformer")),
)
def test_from_training_to_export(server, tmp_path, name):
    network, run = BY_NAME[name], tmp_path / "run"
    asked = {"name": network.hparams, "sizes": TINY[name].split()}
    asked["random"] = False
    server.succeed(tmp_path / "whole", **asked)
    kill = [("fit_batch", 6, "SIGKILL")]
    server.run(run, code=-9, faults=kill, **asked)
    # Checkpointing may change at a resume: the gradients are the same.
    frugal = "--gradient_checkpointing=True"
    server.succeed(run, frugal, **asked)
    assert equal(run, tmp_path / "whole")
    ended = server.call(tmp_path, "report.py", "page", run)
    assert ended.code == 0 and (run / "report.html").is_file(), ended.output

    other = BY_NAME["DPRNN" if name != "DPRNN" else "SkiM"]
    asked |= {"name": other.hparams, "sizes": TINY[other.name].split()}
    for option in ("--test_only", "--resume_changed=True"):
        ended = server.run(run, option, code=1, **asked)
        last = ended.output.strip().splitlines()[-1]
        assert "another network" in last or "another one" in last, last
        assert len(last) < 400

    put(noise(100_000), str(tmp_path / "long.wav"))
    words = [run, tmp_path / "long.wav", f"--output_folder={tmp_path / 'out'}"]
    ended = server.call(tmp_path, "separate_file.py", *words)
    assert ended.code == 0, ended.output
    found = soundfile.read(tmp_path / "out/long_s1.wav")[0]
    assert found.shape == (100_000,) and np.isfinite(found).all()

    ended = server.call(tmp_path, "export.py", run, tmp_path / "model")
    assert ended.code == 0, ended.output
    model = load_trained(run)
    assert model.network is network
    code = [path.name for path in (tmp_path / "model").glob("*.py")]
    assert bool(code) == (not network.stock)
    card = (tmp_path / "model/README.md").read_text(encoding="utf-8")
    assert f"# {name} on PolSESS, ES" in card and network.bibtex in card
    assert "| Variants | SER, SR, ER, R, SE, S, E |" in card
    # SpeechBrain's RE-SepFormer is right for one mixture at a time.
    mixture = speech_like(1 if network.stock_mixes_batch else 2, 4001)
    assert ("one at a time" in card) == network.stock_mixes_batch
    check_export(tmp_path / "model", model.separator, "".join(code), mixture)
    # The recipe loads the export, too, and executes nothing of it.
    again = load_trained(tmp_path / "model")
    assert again.network is network
    with torch.no_grad():
        assert torch.equal(again.separator(mixture), model.separator(mixture))
