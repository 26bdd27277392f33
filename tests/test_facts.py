"""What a report says of its run.

Authors
 * The PolSESS recipe team 2026
"""

import os
import shutil
import subprocess
from types import SimpleNamespace

from reliability import facts
import pytest
import torch
from reliability.facts import commit, run_facts, split_arguments


def brain_of(checkpoints, task="SB"):
    """As much of a Brain as the facts need, after its best was loaded."""
    best = max(checkpoints, key=lambda c: c["si_sdri"], default=None)
    made = [SimpleNamespace(meta=meta) for meta in [*checkpoints, {}]]
    return SimpleNamespace(
        hparams=SimpleNamespace(
            output_folder="results/net_SB/7",
            task=task,
            seed=7,
            epoch_counter=SimpleNamespace(current=2),
            number_of_epochs=5,
        ),
        checkpointer=SimpleNamespace(
            find_checkpoint=lambda max_key: best and SimpleNamespace(meta=best),
            list_checkpoints=lambda: made,
        ),
        modules=SimpleNamespace(
            parameters=lambda: [torch.empty(1000), torch.empty(234)]
        ),
        device="cpu",
        precision="fp16",
        eval_precision="fp32",
    )


def test_facts_tell_the_epochs_trained_and_not_those_of_the_best():
    found = [{"epoch": e, "si_sdri": s} for e, s in ((2, 6.54321), (4, 5.0))]
    facts = run_facts(brain_of(found), ["train.py", "a.yaml", "--task", "SB"])
    assert facts["Epochs"] == "4 of 5"
    assert facts["Best epoch"] == "2, validation SI-SDRi 6.54 dB"
    assert facts["System"] == "net_SB/7"
    assert facts["Task"] == "SB, separate both speakers"
    assert facts["YAML"] == "a.yaml" and facts["Overrides"] == "--task SB"
    assert facts["Parameters"] == "1,234"
    assert facts["Device"].startswith("cpu, ")
    assert all(isinstance(text, str) for text in facts.values())


def test_facts_of_a_run_without_checkpoints():
    facts = run_facts(brain_of([]), ["train.py"])
    assert facts["Best epoch"] == "none: loaded weights"
    assert facts["Epochs"] == "0 of 5"
    assert (facts["YAML"], facts["Overrides"]) == ("unknown", "none")


def test_facts_of_a_model_that_was_loaded_from_elsewhere():
    brain = brain_of([])
    brain.checkpointer = None
    brain.hparams.init_from = "results/net_SB/7"
    facts = run_facts(brain, ["train.py"])
    assert facts["Model"] == "results/net_SB/7"
    assert facts["Precision"] == "test fp32"
    assert "Epochs" not in facts


def test_values_of_overrides_are_not_lost():
    words = ["train.py", "--device", "cpu", "h/a.yaml", "--metrics=[pesq, x]"]
    expected = ("h/a.yaml", "--device cpu '--metrics=[pesq, x]'")
    assert split_arguments(words) == expected


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_figures_do_not_make_a_commit_dirty_but_code_does(
    tmp_path, monkeypatch
):
    # A hook or a user's settings would lead git elsewhere.
    for name in [n for n in os.environ if n.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(
            ["git", *who, *arguments],
            cwd=tmp_path,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    for folder in ("results", "recipe"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("1")
    (tmp_path / "README.md").write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(facts, "__file__", str(tmp_path / "recipe/facts.py"))
    clean = commit()
    assert len(clean) == 12
    (tmp_path / "results/file").write_text("2")
    (tmp_path / "README.md").write_text("2")
    assert commit() == clean
    (tmp_path / "recipe/file").write_text("2")
    assert commit() == clean + "-dirty"


def test_commit_is_unknown_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown"
