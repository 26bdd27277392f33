"""A search space is read as it stands, or refused in a line."""

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from recipe import HPARAMS
from tuning.space import read_space

CONV_TASNET = HPARAMS / "convtasnet.yaml"


def read(tmp_path, text, *words):
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return read_space(str(path), str(CONV_TASNET), words)


def test_a_space_gives_the_distributions_of_optuna(tmp_path):
    text = (
        "lr: {low: 1e-4, high: 2.0e-3, log: true}\n"
        "max_grad_norm: {low: 1, high: 5.0}\n"
        "segment_seconds: {low: 2.0, high: 4.0, step: 0.5}\n"
        "X: {low: 4, high: 8, step: 2}\n"
        "H: {low: 64, high: 512, log: true}\n"
        "causal: {choices: [true, false]}\n"
    )
    assert read(tmp_path, text, "--task=SB") == {
        "lr": FloatDistribution(1e-4, 2e-3, log=True),
        "max_grad_norm": FloatDistribution(1, 5),
        "segment_seconds": FloatDistribution(2, 4, step=0.5),
        "X": IntDistribution(4, 8, step=2),
        "H": IntDistribution(64, 512, log=True),
        "causal": CategoricalDistribution([True, False]),
    }


def test_the_space_of_the_recipe_is_one_of_conv_tasnet():
    space = read_space(str(HPARAMS / "tune.yaml"), str(CONV_TASNET), [])
    assert space.keys() == {"lr", "weight_decay"}


@pytest.mark.parametrize(
    "text, words, message",
    [
        ("", [], "expected key: .*found None"),
        ("{}", [], "expected key: .*found {}"),
        ("[lr]", [], "expected key: .*found"),
        ("lr: {low: 1", [], "is no plain YAML"),
        ("lr: !new:os.getcwd []", [], "is no plain YAML"),
        ("lr: {low: 1, high: 2}", ["--lr=3"], "lr: the space .* command line"),
        ("lr: {low: 1, high: 2}", ["--lr", "3"], "lr: the space .* command"),
        ("learning: {low: 1, high: 2}", [], "'learning' is not a key of"),
        ("B: {low: 1, high: 2}\nB: {choices: [3]}", [], "B is given twice"),
        ("lr: 0.1", [], "lr: expected {low, high}.* found 0.1"),
        ("lr: {mean: 1, std: 2}", [], "lr: expected {low, high}"),
        ("lr: {low: 1}", [], "lr: expected {low, high}"),
        ("lr: {low: 1, high: 2, choices: [1]}", [], "lr: expected {low"),
        ("lr: {low: 2, high: 1}", [], "lr: expected low <= high"),
        ("lr: {low: a, high: 1}", [], "lr: expected numbers"),
        ("lr: {low: true, high: 1}", [], "lr: expected numbers"),
        ("lr: {low: 1, high: .inf}", [], "lr: expected numbers"),
        ("lr: {low: 1, high: 2, log: 3}", [], "lr: expected numbers and log"),
        ("lr: {low: 0, high: 1.0, log: true}", [], "lr: log needs low > 0"),
        ("lr: {low: 1, high: 9, step: 2, log: true}", [], "takes no step"),
        ("lr: {low: 1, high: 2, step: 0}", [], "lr: expected step > 0"),
        ("lr: {choices: []}", [], r"lr: expected choices: \[...\]"),
        ("lr: {choices: [[1]]}", [], r"lr: expected choices: \[...\]"),
        ("lr: {choices: 3}", [], r"lr: expected choices: \[...\]"),
    ],
)
def test_a_bad_space_is_refused_in_a_line(tmp_path, text, words, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text, *words)
    assert "\n" not in str(caught.value)
