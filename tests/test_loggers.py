"""What TensorBoard and Weights & Biases show of a run."""

import importlib.util
import sys
import time

import loggers
import matplotlib
import numpy as np
import pytest
import torch
import wandb
from hyperpyyaml import load_hyperpyyaml
from loggers import TensorboardBoard, WandbBoard, wandb_board
from matplotlib.figure import Figure

import speechbrain as sb

YAML = """
output_folder: {folder}
tensorboard: !new:loggers.TensorboardBoard # null for none
    save_dir: !ref <output_folder>/tensorboard
wandb: null # name of a Weights & Biases project
wandb_board: !apply:loggers.wandb_board
    project: !ref <wandb>
    save_dir: !ref <output_folder>
boards: !new:boards.Boards
    boards: [!ref <tensorboard>, !ref <wandb_board>]
"""


def read(folder):
    """Everything that TensorBoard shows of a folder."""
    from tensorboard.backend.event_processing import event_accumulator

    accumulator = event_accumulator.EventAccumulator(str(folder))
    return accumulator.Reload()


def points(folder, tag):
    return [(point.step, point.value) for point in read(folder).Scalars(tag)]


def log(board, epoch, value):
    board.log_stats(
        {"epoch": epoch, "lr": 0.5},
        train_stats={"loss": value},
        valid_stats={"SI-SDRi": 2 * value, "SI-SDRi/SER": 3 * value, "n": 7},
    )


def test_tensorboard_shows_the_numbers_at_their_epochs(tmp_path):
    board = TensorboardBoard(str(tmp_path))
    # Not closed: every epoch has to be on disk once it is logged.
    log(board, 3, 1.0)
    log(board, 4, 2.0)
    assert set(read(tmp_path).Tags()["scalars"]) == {
        "lr",
        "train/loss",
        "valid/SI-SDRi",
        "valid/SI-SDRi/SER",
        "valid/n",
    }
    assert points(tmp_path, "valid/SI-SDRi") == [(3, 2.0), (4, 4.0)]
    assert points(tmp_path, "lr") == [(3, 0.5), (4, 0.5)]
    assert points(tmp_path, "valid/n") == [(3, 7.0), (4, 7.0)]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_tensorboard_has_audio_and_figures(tmp_path, kind):
    board = TensorboardBoard(str(tmp_path))
    signal = kind(np.linspace(-1, 1, 800, dtype=np.float32))
    board.log_audio("a_SER/mixture", signal, 8000, epoch=5)
    board.log_figure("a_SER/spectrograms", Figure(), epoch=5)
    log(board, 5, 1.0)
    shown = read(tmp_path)
    (audio,) = shown.Audio("a_SER/mixture")
    assert (audio.step, audio.sample_rate) == (5, 8000)
    assert audio.length_frames == 800
    (image,) = shown.Images("a_SER/spectrograms")
    assert image.step == 5 and image.width > 0


def test_resumed_run_draws_on_where_it_was(tmp_path):
    board = TensorboardBoard(str(tmp_path))
    for epoch in (1, 2, 3):
        log(board, epoch, float(epoch))
    # The names of the files, by which they are read, contain the second.
    time.sleep(1.1)
    # Killed after epoch 3 was logged, and before it was saved
    board = TensorboardBoard(str(tmp_path))
    for epoch in (3, 4):
        log(board, epoch, 10.0 * epoch)
    assert points(tmp_path, "train/loss") == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
        (4, 40.0),
    ]


def test_later_test_of_an_earlier_epoch_hides_no_epochs(tmp_path):
    board = TensorboardBoard(str(tmp_path))
    for epoch in (1, 2, 3):
        log(board, epoch, float(epoch))
    time.sleep(1.1)
    board = TensorboardBoard(str(tmp_path))
    board.log_stats({"epoch": 2}, test_stats={"SI-SDRi": 4.0})
    assert points(tmp_path, "test/SI-SDRi") == [(2, 4.0)]
    assert [step for step, _ in points(tmp_path, "train/loss")] == [1, 2, 3]


class Run:
    """Keeps what a run of Weights & Biases is given."""

    def __init__(self, **settings):
        self.settings = settings
        self.calls = []
        self.summary = {}

    def log(self, values, step, commit=None):
        self.calls.append((step, values, commit))


def test_wandb_gets_the_numbers_at_their_epochs(tmp_path):
    board = WandbBoard("polsess", str(tmp_path), Run, mode="offline")
    assert board.run is None and not list(tmp_path.iterdir())
    log(board, 3, 1.0)
    board.log_stats({"epoch": 2}, test_stats={"SI-SDRi": 4.0})
    values = {
        "lr": 0.5,
        "train/loss": 1.0,
        "valid/SI-SDRi": 2.0,
        "valid/SI-SDRi/SER": 3.0,
        "valid/n": 7,
    }
    assert board.run.calls == [(3, values, True)]
    assert board.run.summary == {"test/SI-SDRi": 4.0}


def test_resumed_run_of_wandb_has_the_same_id(tmp_path):
    first, resumed, other = (
        WandbBoard("polsess", str(folder), Run).open().settings
        for folder in (tmp_path, tmp_path, tmp_path / "other")
    )
    assert first == resumed and first["id"] != other["id"]
    assert first["resume"] == "allow" and first["project"] == "polsess"


def test_wandb_keeps_a_run_offline(tmp_path, monkeypatch):
    board = WandbBoard("polsess", str(tmp_path), mode="offline")
    assert not list(tmp_path.iterdir())
    signal = np.linspace(-1, 1, 800, dtype=np.float32)
    board.log_audio("a_SER/mixture", torch.as_tensor(signal), 8000, epoch=1)
    # wandb takes no figure unless somebody has imported pyplot.
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    board.log_figure("a_SER/spectrograms", Figure(), epoch=1)
    log(board, 1, 1.0)
    log(board, 2, 2.0)
    assert board.run.summary["valid/SI-SDRi"] == 4.0
    # Waits until wandb's own process has written its files.
    wandb.teardown()
    (run,) = tmp_path.glob("wandb/offline-run-*")
    assert len(list(run.glob("files/media/audio/a_SER/*.wav"))) == 1
    assert len(list(run.glob("files/media/images/a_SER/*.png"))) == 1
    (log_file,) = run.glob("*.wandb")
    assert log_file.read_bytes().count(b"valid/SI-SDRi/SER") >= 2


def test_failing_start_of_wandb_keeps_its_cause(tmp_path):
    def fail(**settings):
        raise ConnectionError("no route to host")

    board = WandbBoard("polsess", str(tmp_path), fail)
    with pytest.raises(ConnectionError, match="no route to host"):
        log(board, 1, 1.0)


def test_missing_login_of_wandb_is_said_before_training(tmp_path, monkeypatch):
    def login():
        raise ValueError("No API key configured")

    monkeypatch.setattr(wandb, "login", login)
    with pytest.raises(ValueError, match="No API key"):
        wandb_board("polsess", str(tmp_path))
    wandb_board("polsess", str(tmp_path), mode="offline")


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_missing_package_is_named_when_the_yaml_is_loaded(
    tmp_path, monkeypatch, package
):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        loggers,
        "find_spec",
        lambda name: None if name == package else find_spec(name),
    )
    monkeypatch.setattr(wandb, "login", lambda: True)
    expected = f"pip install {package}, or do without it by --{package}=null"
    with pytest.raises(ImportError, match=expected):
        load_hyperpyyaml(YAML.format(folder=tmp_path), {"wandb": "polsess"})
    load_hyperpyyaml(YAML.format(folder=tmp_path), {package: None})


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ([], [TensorboardBoard]),
        (["--tensorboard=null"], []),
        (["--wandb=polsess"], [TensorboardBoard, WandbBoard]),
        (["--wandb", "polsess", "--tensorboard", "null"], [WandbBoard]),
    ],
)
def test_boards_are_switched_on_the_command_line(
    tmp_path, monkeypatch, arguments, kinds
):
    monkeypatch.setattr(wandb, "login", lambda: True)
    _, _, overrides = sb.parse_arguments(["train.yaml", *arguments])
    hparams = load_hyperpyyaml(YAML.format(folder=tmp_path), overrides)
    assert [type(board) for board in hparams["boards"].boards] == kinds
    # A refused configuration leaves nothing behind.
    assert not list(tmp_path.iterdir())
    for board in hparams["boards"].boards:
        assert str(tmp_path) in str(vars(board))


def test_other_processes_log_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "if_main_process", lambda: False)
    for board in (
        TensorboardBoard(str(tmp_path)),
        WandbBoard("polsess", str(tmp_path), Run),
    ):
        log(board, 1, 1.0)
        board.log_audio("a", np.zeros(8), 8000, epoch=1)
        board.log_figure("a", Figure(), epoch=1)
    assert not list(tmp_path.iterdir())
