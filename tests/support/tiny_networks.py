"""Every network of the registry at a size that takes milliseconds.

Those of SpeechBrain also with its own classes, as the upstream YAML builds them.
"""

import shlex
import sys

import torch
import yaml
from hyperpyyaml import load_hyperpyyaml
from networks.registry import NETWORKS
from recipe import HPARAMS, ROOT, hparams_of

sys.path.append(str(ROOT / "tools"))

from upstream_tree import derive  # noqa: E402

# Name -> overrides of its YAML.
TINY = {
    "SPMamba": "--B=1 --D=4 --I=2 --heads=2 --qk=2 --d_state=4 --expand=2",
    "Conv-TasNet": "--N=8 --B=4 --H=8 --X=2 --R=1 --kernel_size=32 --stride=16",
    "DPRNN": "--N=8 --H=4 --num_layers=2 --K=50 --kernel_size=32 --stride=16",
    "SepFormer": "--N=8 --num_layers=1 --layers_of_a_block=1 --nhead=2 "
    "--d_ffn=8 --K=50 --kernel_size=32 --stride=16",
    "SkiM": "--N=8 --unit=4 --layer=2 --segment_size=50 --kernel_size=32 "
    "--stride=16",
    "RE-SepFormer": "--N=8 --layer=2 --layers_of_a_block=1 --nhead=2 "
    "--d_ffn=8 --segment_size=50 --kernel_size=32 --stride=16",
    "TF-Locoformer": "--D=16 --B=1 --H=16 --attention_dim=16 --groups=2",
    "TF-GridNet": "--D=8 --B=1 --H=8 --qk_dim=130 --n_fft=128",
    "MossFormer2": "--N=8 --num_blocks=1 --group_size=16 --query_key_dim=4 "
    "--memory_dim=8 --dropout=0.1 --kernel_size=32 --stride=16",
    "SepReformer": "--N=16 --F=16 --R=2 --B_E=1 --B_D=1 --K=9 --heads=2 "
    "--kernel_size=32 --stride=16",
}
BY_NAME = {network.name: network for network in NETWORKS}


def overrides_of(flags):
    """Overrides as on the command line, as a dict."""
    words = (word[2:].split("=", 1) for word in shlex.split(flags))
    return {key: yaml.safe_load(text) for key, text in words}


def tiny(name, task="SB", **overrides):
    """The separator of a network's YAML at its tiny size."""
    overrides = {**overrides_of(TINY[name]), "task": task, **overrides}
    return hparams_of(BY_NAME[name].hparams, **overrides)["separator"]


def speech_like(batch, samples):
    """Noise in bursts with silence between them, [batch, time]."""
    generator = torch.Generator().manual_seed(samples)
    mixture = 0.1 * torch.randn(batch, samples, generator=generator)
    mixture[:, samples // 3 : samples // 2] = 0
    return mixture


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
