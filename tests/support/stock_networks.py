"""A network with SpeechBrain's own classes, as the upstream YAML builds it."""

import sys

import torch
from hyperpyyaml import load_hyperpyyaml
from recipe import HPARAMS, ROOT
from tiny_networks import BY_NAME, TINY, overrides_of, tiny

sys.path.append(str(ROOT / "tools"))

from upstream_tree import derive  # noqa: E402


def ours_and_stock(name, output_folder, task="SB", **overrides):
    """Two separators of equal weights at the tiny size, for evaluation."""
    ours = tiny(name, task, **overrides).eval()
    path = HPARAMS / BY_NAME[name].hparams
    values = dict(data_folder=str(ROOT), output_folder=str(output_folder))
    values.update(task=task, **{**overrides_of(TINY[name]), **overrides})
    text = derive(path.read_text(encoding="utf-8"), path.name)
    stock = load_hyperpyyaml(text, values)["separator"].eval()
    kind = type(stock.masknet)
    assert f"{kind.__module__}.{kind.__qualname__}" == BY_NAME[name].stock
    expected, found = stock.state_dict(), ours.state_dict()
    assert list(expected) == list(found)
    stock.load_state_dict(found)
    return ours, stock


def largest_difference(one, other, mixture):
    """Of two separators' estimates, relative to the largest sample."""
    with torch.no_grad():
        found, expected = one(mixture), other(mixture)
    return (found - expected).abs().max() / expected.abs().max()
