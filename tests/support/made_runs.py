"""Output folders of trainings that took no time: random weights, saved as usual."""

from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml
from fast.convtasnet import MaskNet
from hyperpyyaml import resolve_references
from recipe import HPARAMS
from separator import Separator
from summary import write_summary
from variants import num_outputs

from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import Decoder, Encoder
from speechbrain.utils.checkpoints import Checkpointer

SIZES = dict(N=16, B=8, H=16, X=3, R=1, kernel_size=16, stride=8)
CAUSAL = dict(norm_type="cLN", causal=True)
SCORES = """ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri
a,SER,indoor,s1,5.0,1.0,4.0
a,SER,indoor,s2,3.0,1.0,2.0
b,SE,outdoor,s1,7.0,-2.0,9.0
b,SE,outdoor,s2,9.0,-2.0,11.0
c,SE,outdoor,s1,10.0,-2.0,12.0
c,SE,outdoor,s2,12.0,-2.0,14.0
"""


def make_run(folder, task="ES", **sizes):
    """Makes the folder of a run; returns its separator. Sizes: keys of the YAML."""
    sizes = {**SIZES, **sizes}
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"output_folder": str(folder), "data_folder": "corpus", "task": task}
    overrides = yaml.safe_dump({**keys, **sizes})
    with open(HPARAMS / "convtasnet.yaml", encoding="utf-8") as file:
        text = resolve_references(file, overrides).getvalue()
    (folder / "hyperparams.yaml").write_text(text, encoding="utf-8")
    geometry = dict(kernel_size=sizes.pop("kernel_size"))
    stride = sizes.pop("stride")
    parts = {
        "encoder": Encoder(out_channels=sizes["N"], **geometry),
        "masknet": MaskNet(P=3, C=num_outputs(task), **sizes),
        "decoder": Decoder(
            sizes["N"], 1, stride=stride, bias=False, **geometry
        ),
    }
    checkpointer = Checkpointer(folder / "save", parts)
    checkpointer.save_checkpoint({"si_sdri": 3.5, "epoch": 2})
    return Separator(**parts).eval()


def make_tested_run(folder):
    """The same for SB, with the tables of a test; returns its separator."""
    net = make_run(folder, task="SB")
    (folder / "test_scores.csv").write_text(SCORES, encoding="utf-8")
    write_summary(folder, ["SER", "SE"], "SB")
    return net


def noise(length, channels=1):
    """Soft noise, [time, channel]."""
    generator = np.random.default_rng(length)
    return 0.05 * generator.standard_normal((length, channels))


def put(samples, *names, rate=8000, subtype=None):
    """Writes recordings."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(name, samples, rate, subtype=subtype)


def mask_networks(**sizes):
    """The fast and SpeechBrain's mask network, with the same trained-like weights."""
    torch.manual_seed(0)
    stock = conv_tasnet.MaskNet(**sizes)
    for name, parameter in stock.named_parameters():
        if "conv" not in name.rsplit(".", 2)[-2]:
            # Gains, offsets and slopes begin as constants, which hide errors.
            parameter.data += 0.2 * torch.randn_like(parameter)
    fast = MaskNet(**sizes)
    fast.load_state_dict(stock.state_dict())
    return fast, stock
