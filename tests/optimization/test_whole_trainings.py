"""Trainings with everything on: kills, what is tested, what reports say."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from by_night import by_night
from checkpoints.checkpointer import SafeCheckpointer
from faults.actions import state_digest
from inference.trained import load_trained
from page_content import Page
from promises import MODEL
from run_folders import equal, newest, trace

# 2 steps in each of 4 epochs.
ALL = (
    "--number_of_epochs=4 --early_stopping_epochs=3 --ema_decay=0.9 "
    "--average_best=2 --lr_schedule=cosine --warmup_steps=3 --weight_decay=0.01"
).split()
AVERAGED = [*ALL[:2], "--ema_decay=0", "--average_best=3"]
MOVING = ALL[:3]


@pytest.fixture(scope="module")
def made(server, once):
    """The folder of an undisturbed training with options."""

    def folder_of(name, options):
        return once(name, lambda folder: server.succeed(folder, *options))

    return folder_of


def contents(folder):
    """All that the newest checkpoint and the averaged weights hold."""
    for path in (newest(folder), folder / "save/averaged"):
        for file in sorted(path.glob("*.ckpt")):
            try:
                state = torch.load(file)
            except Exception:  # a text
                state = yaml.safe_load(file.read_text())
            yield from _values(state, file.name)


def _values(state, name):
    if isinstance(state, (dict, list)):
        pairs = state.items() if isinstance(state, dict) else enumerate(state)
        for key, value in pairs:
            yield from _values(value, f"{name}.{key}")
    else:
        yield name, state.tolist() if torch.is_tensor(state) else state


def weight_sums(folder):
    """The sums of the weights that were tested, and that commands load."""
    model = load_trained(folder)
    weights = {
        f"separator.{n}": t for n, t in model.separator.state_dict().items()
    }
    return trace(folder, "tested")[-1], state_digest(weights, {"state": {}})


@pytest.mark.promise(MODEL)
@pytest.mark.parametrize(
    "place, number",
    [
        ("start_of_training", 3),  # the checkpoint was saved while swapped
        *by_night(
            ("fit_batch", 2),
            ("fit_batch", 6),
            ("optimizers_step", 4),
            ("evaluate_batch", 10),
            ("end_of_validation", 2),
            ("write_checksums", 5),
            ("delete_checkpoints", 6),
            ("write rename save/*.partial/averaged", 1),
            ("on_evaluate_start", 1),
        ),
    ],
)
def test_a_kill_changes_nothing(server, made, tmp_path, place, number):
    whole, folder = made("all", ALL), tmp_path / "run"
    kill = [(place, number, "SIGKILL")]
    server.run(folder, *ALL, code=-9, faults=kill)
    server.succeed(folder, *ALL)
    assert equal(folder, whole)
    assert list(contents(folder)) == list(contents(whole))


@pytest.mark.promise(MODEL, control=True)
def test_without_the_trained_weights_the_model_is_another(
    server, made, tmp_path
):
    whole, folder = made("all", ALL), tmp_path / "run"
    kill = [("start_of_training", 3, "SIGKILL")]
    server.run(folder, *ALL, code=-9, faults=kill)
    without = [*ALL, "--ema_decay=0", "--resume_changed=True"]
    without.remove("--ema_decay=0.9")
    server.succeed(folder, *without)
    assert not equal(folder, whole)


def test_the_tested_weights_are_those_that_commands_load(made, tmp_path):
    for name, options in (("all", ALL), ("moving", MOVING)):
        first, second = weight_sums(made(name, options))
        assert first == second


def test_the_mean_by_hand_and_its_end(server, made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(made("averaged", AVERAGED), folder)
    best = SafeCheckpointer(folder / "save").find_checkpoints(
        max_key="si_sdri", max_num_checkpoints=3
    )
    found = torch.load(folder / "save/averaged/masknet.ckpt")
    for name, value in found.items():
        every = [
            torch.load(b.path / "masknet.ckpt")[name].double() for b in best
        ]
        assert torch.allclose(value.double(), sum(every) / 3, atol=1e-6)
    epochs = sorted(b.meta["epoch"] for b in best)
    text = f"mean of the 3 best epochs: {epochs[0]}, {epochs[1]}, {epochs[2]}"
    assert load_trained(folder).weights == text
    # Fewer are there than asked for, or the best alone is asked for.
    options = [*AVERAGED[:3], "--test_only"]
    output = server.succeed(folder, *options, "--average_best=9")
    n_there = len(load_trained(folder).meta["averaged_epochs"])
    assert f"9 checkpoints asked for, found and used {n_there}" in output
    server.succeed(folder, *options)
    assert not (folder / "save/averaged").exists()
    assert weight_sums(folder)[0] == weight_sums(folder)[1]


def test_the_average_may_begin_at_a_resume(server, tmp_path):
    folder, options = tmp_path / "run", ["--number_of_epochs=2", MOVING[2]]
    server.succeed(folder, "--number_of_epochs=1", "--ema_decay=0.0")
    ended = server.run(folder, *options, code=1)
    assert "ema_decay: 0.0 before, 0.9 now" in ended.output
    server.succeed(folder, *options, "--resume_changed=True")
    state = torch.load(newest(folder) / "ema.ckpt")
    assert state["n_updates"] == 2


@pytest.mark.parametrize(
    "option", ["average_best=0", "lr_schedule=steps", "early_stopping_epochs=0"]
)
def test_bad_values_are_told_in_a_line(server, tmp_path, option):
    ended = server.run(tmp_path / "run", f"--{option}", code=1)
    last = ended.output.strip().splitlines()[-1]
    assert f"{option.partition('=')[0]}: expected" in last, last


@pytest.mark.nightly
def test_two_ranks_have_the_same_average(server, made, tmp_path):
    folder = tmp_path / "run"
    server.succeed(folder, *ALL, launch=["--standalone", "--nproc_per_node=2"])
    ranks = [trace(folder, "tested", rank) for rank in (0, 1)]
    assert ranks[0] == ranks[1] and len(ranks[0]) == 1
    shutil.copy(f"{folder}.trace.0", f"{folder}.trace")
    assert weight_sums(folder)[0] == weight_sums(folder)[1]


@pytest.mark.nightly
def test_report_and_card_say_which_weights(server, tmp_path):
    run = tmp_path / "run"
    ended = server.train(run, *ALL)
    assert ended.code == 0, ended.output
    text = load_trained(run).weights
    assert text.endswith(", each a moving average (decay 0.9)")
    assert Page(run / "report.html").facts()["Weights"] == text
    ended = server.call(tmp_path, "export.py", run, tmp_path / "model")
    assert ended.code == 0, ended.output
    card = Path(tmp_path / "model/README.md").read_text(encoding="utf-8")
    assert f"The weights are the {text}; the best epoch has" in card
