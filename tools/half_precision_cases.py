"""The networks and the inputs of half_precision.py.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import functools

import soundfile
import torch
from readme_section import ROOT
from separator import Separator

from speechbrain.lobes.models import conv_tasnet, dual_path

SEED = 1234
FILTERS, KERNEL = 256, 16
SIZES = dict(N=FILTERS, B=256, H=512, P=3, X=8, R=4, C=1)  # convtasnet.yaml
SPEECH = "8igz6hwu3l90q693"  # of an outdoor mixture, without reverberation
PATCH = 1e-4  # the customary EPS


class Untouched(Separator):
    """A Separator that leaves the normalisations as SpeechBrain has them.

    Arguments
    ---------
    encoder : torch.nn.Module
        See Separator.
    masknet : torch.nn.Module
        See Separator.
    decoder : torch.nn.Module
        See Separator.
    """

    def __init__(self, encoder, masknet, decoder):
        classes = {module: type(module) for module in masknet.modules()}
        super().__init__(encoder, masknet, decoder)
        for module, kind in classes.items():
            module.__class__ = kind


@contextlib.contextmanager
def eps_of_speechbrain(value):
    """Replaces the EPS of SpeechBrain's normalisations for a while."""
    original = conv_tasnet.EPS
    conv_tasnet.EPS = value
    try:
        yield
    finally:
        conv_tasnet.EPS = original


def network(kind, masknet, sizes, kernel=KERNEL):
    """A network; all have the same weights.

    Arguments
    ---------
    kind : type
        Untouched or Separator.
    masknet : type
        A MaskNet.
    sizes : dict
        Its arguments.
    kernel : int
        Of the encoder, in samples.

    Returns
    -------
    Separator
        Of the given kind.
    """
    torch.manual_seed(SEED)
    filters = sizes["N"]
    return kind(
        encoder=dual_path.Encoder(kernel_size=kernel, out_channels=filters),
        masknet=masknet(**sizes),
        decoder=dual_path.Decoder(
            in_channels=filters,
            out_channels=1,
            kernel_size=kernel,
            stride=kernel // 2,
            bias=False,
        ),
    )


def systems(sizes, kernel=KERNEL):
    """Name -> network and the EPS that SpeechBrain's modules have with it."""
    from fast.convtasnet import MaskNet

    make = functools.partial(network, sizes=sizes, kernel=kernel)
    stock = make(Untouched, conv_tasnet.MaskNet)
    found = {
        "stock": (stock, conv_tasnet.EPS),
        "EPS 1e-4": (stock, PATCH),
        "safe norms": (make(Separator, conv_tasnet.MaskNet), conv_tasnet.EPS),
        "recipe": (make(Separator, MaskNet), conv_tasnet.EPS),
    }
    for separator, _ in found.values():  # whatever order they are drawn in
        separator.load_state_dict(stock.state_dict())
    return found


def inputs(mixture):
    """Name -> mixture, [1, time]; full scale is 1.

    Arguments
    ---------
    mixture : torch.Tensor
        Of speech and noise, [1, time].

    Returns
    -------
    dict
        It, and what half precision may not bear: a quarter of digital zeros,
        zeros alone, a level 60 dB lower, and noise of the smallest step of 16
        bits.
    """
    time = mixture.shape[-1]
    silenced = mixture.clone()
    silenced[:, time // 2 : time * 3 // 4] = 0
    generator = torch.Generator().manual_seed(SEED)
    signs = torch.randn(1, time, generator=generator).sign()
    return {
        "speech": mixture,
        "a quarter silent": silenced,
        "silent": torch.zeros_like(mixture),
        "-60 dB": mixture / 1000,
        "1 LSB noise": signs / 2**15,
    }


def recording(seconds):
    """A mixture and its speech, each [1, time]."""
    folder = ROOT / "tests/samples/PolSESS/train"
    (mixture,) = (folder / "mix").glob(f"{SPEECH}-*.wav")
    return [
        torch.from_numpy(
            soundfile.read(path, round(8000 * seconds), dtype="float32")[0]
        )[None]
        for path in (mixture, folder / "clean" / f"{SPEECH}.wav")
    ]
