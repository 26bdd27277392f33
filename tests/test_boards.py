"""Which clips of a run are shown, how they look, and when."""

import boards
import numpy as np
import pytest
from boards import Boards, spectrograms
from hyperpyyaml import load_hyperpyyaml
from loggers import TensorboardBoard
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

LABELS = {"ID": "a", "variant": "SER", "setting": "indoor"}


class Recorder:
    """A board that keeps what it is given."""

    def __init__(self):
        self.stats = []
        self.audio = []
        self.figures = []

    def log_stats(self, *stats):
        self.stats.append(stats)

    def log_audio(self, name, signal, sample_rate, epoch):
        self.audio.append((name, signal, sample_rate, epoch))

    def log_figure(self, name, figure, epoch):
        self.figures.append((name, figure, epoch))


@pytest.fixture
def signals():
    """A clip of one second, of which the estimate has the peak 2."""
    reference = np.sin(np.arange(8000, dtype=np.float32))
    return {
        "mixture": 0.5 * reference,
        "estimate s1": 2 * reference / np.abs(reference).max(),
        "reference s1": reference,
    }


def wanted(shown, epoch):
    """The utterances that are shown of three mixtures, two variants each."""
    return [
        (mixture, variant)
        for mixture in ("a", "b", "c")
        for variant in ("SER", "S")
        if shown.wants(mixture, variant, epoch)
    ]


def test_same_first_mixtures_are_shown_at_the_interval():
    shown = Boards([Recorder()], clips=2, clip_interval_epochs=3)
    two = [("a", "SER"), ("b", "SER")]
    for epoch, expected in enumerate([two, [], two, [], [], two], start=1):
        assert wanted(shown, epoch) == expected
    resumed = Boards([Recorder()], clips=2, clip_interval_epochs=3)
    assert [wanted(resumed, epoch) for epoch in (5, 6)] == [[], two]


def test_clips_can_be_switched_off():
    assert wanted(Boards([Recorder()], clips=0), 1) == []
    hparams = load_hyperpyyaml(
        "boards: !new:boards.Boards\n    boards: [null]\n    clips: 2",
        "boards: {clips: 0}",
    )
    assert hparams["boards"].clips == 0


def test_other_processes_want_no_clips(monkeypatch):
    monkeypatch.setattr(boards, "if_main_process", lambda: False)
    assert wanted(Boards([Recorder()]), 1) == []


def test_without_boards_nothing_is_done(monkeypatch, signals):
    # Not even matplotlib is needed.
    monkeypatch.setattr(boards, "check_installed", None)
    nothing = Boards([None, None])
    assert nothing.boards == [] and wanted(nothing, 1) == []
    nothing.log_stats({"epoch": 1}, train_stats={"loss": 1.0})
    nothing.log_clip(LABELS, signals, epoch=1)


def test_every_board_gets_the_numbers():
    first, second = Recorder(), Recorder()
    Boards([first, None, second]).log_stats(
        {"epoch": 1}, train_stats={"loss": 1.0}, valid_stats={"n": 2}
    )
    assert first.stats == second.stats
    assert first.stats == [({"epoch": 1}, {"loss": 1.0}, {"n": 2}, None)]


def test_audio_never_clips_and_keeps_the_relative_levels(signals):
    board = Recorder()
    Boards([board]).log_clip(LABELS, signals, epoch=1)
    for name, signal, sample_rate, epoch in board.audio:
        original = signals[name.split("/")[1]]
        np.testing.assert_allclose(signal, original / 2, rtol=1e-6)
        assert (sample_rate, epoch) == (8000, 1)
    assert len(board.audio) == 3
    # The signals themselves are as they were.
    assert np.abs(signals["estimate s1"]).max() == 2


def test_quiet_audio_keeps_its_level(signals):
    board = Recorder()
    del signals["estimate s1"]
    Boards([board]).log_clip(LABELS, signals, epoch=1)
    np.testing.assert_array_equal(board.audio[0][1], signals["mixture"])


def test_only_the_estimate_is_repeated(signals):
    first, second = Recorder(), Recorder()
    shown = Boards([first, second])
    for epoch in (1, 5):
        shown.log_clip(LABELS, signals, epoch)
    for board in (first, second):
        assert [(name, epoch) for name, _, _, epoch in board.audio] == [
            ("a_SER/mixture", 1),
            ("a_SER/estimate s1", 1),
            ("a_SER/reference s1", 1),
            ("a_SER/estimate s1", 5),
        ]
        assert [(name, epoch) for name, _, epoch in board.figures] == [
            ("a_SER/spectrograms", 1),
            ("a_SER/spectrograms", 5),
        ]


def test_diverged_estimate_is_shown_as_silence(signals):
    board = Recorder()
    signals["estimate s1"][:] = np.nan
    signals["estimate s1"][0] = np.inf
    Boards([board]).log_clip(LABELS, signals, epoch=1)
    assert np.all(board.audio[1][1] == 0)


def test_spectrograms_are_in_seconds_and_khz(signals):
    # 1 kHz, 20 dB below 3 kHz
    time = np.arange(16000) / 8000
    low = 0.1 * np.sin(2 * np.pi * 1000 * time)
    high = np.sin(2 * np.pi * 3000 * time)
    figure = spectrograms({"low": low, "high": high}, 8000)
    rows = figure.axes[:2]
    assert [axis.get_title() for axis in rows] == ["low", "high"]
    assert rows[0].get_ylabel() == "kHz" and rows[1].get_xlabel() == "seconds"
    for axis, khz, level in zip(rows, (1, 3), (-20, 0)):
        (image,) = axis.images
        assert image.get_extent() == [0, 2, 0, 4]
        middle = image.get_array()[:, image.get_array().shape[1] // 2]
        assert 4 * middle.argmax() / (len(middle) - 1) == khz
        assert middle.max() == pytest.approx(level, abs=0.5)


def test_silence_can_be_drawn():
    spectrograms({"mixture": np.zeros(100)}, 8000)


def test_tensorboard_shows_a_clip(tmp_path, signals):
    shown = Boards([TensorboardBoard(str(tmp_path))])
    shown.log_clip(LABELS, signals, epoch=1)
    shown.log_stats({"epoch": 1}, valid_stats={"SI-SDRi": 1.0})
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()
    assert sorted(tags["audio"]) == [
        "a_SER/estimate s1",
        "a_SER/mixture",
        "a_SER/reference s1",
    ]
    assert tags["images"] == ["a_SER/spectrograms"]


def test_missing_matplotlib_is_named_with_its_switch(monkeypatch):
    monkeypatch.setattr("loggers.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install matplotlib.*clips: 0"):
        Boards([Recorder()])
    Boards([Recorder()], clips=0)
