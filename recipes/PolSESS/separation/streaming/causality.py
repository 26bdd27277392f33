"""Which networks can work on live audio.

Authors
 * The PolSESS recipe team 2026
"""

import torch

from speechbrain.lobes.models.conv_tasnet import ChannelwiseLayerNorm

YAML = "hparams/convtasnet_causal.yaml"


def check_causal(separator):
    """Refuses networks that cannot work on live audio.

    Raises ValueError that names the problem, and what to train instead.

    Arguments
    ---------
    separator : Separator
        Its mask network may be the fast or SpeechBrain's own Conv-TasNet.
    """
    problem = _problem(separator)
    if problem:
        raise ValueError(
            f"live audio needs a causal Conv-TasNet, but {problem}; "
            f"train {YAML}"
        )


def _problem(separator):
    """What keeps a network from working on live audio; None for nothing."""
    masknet = separator.masknet
    if not hasattr(masknet, "temporal_conv_net"):
        return f"the mask network is a {type(masknet).__name__}"
    for block in masknet.temporal_conv_net.values():
        inner = block.layers["DSconv"]
        for norm in (block.layers["norm"], inner["act_0"]):
            if not isinstance(norm, ChannelwiseLayerNorm):
                return (
                    f"it normalises by {type(norm).__name__} and not by cLN "
                    "(norm_type), which looks at one frame alone"
                )
        if "chomp" not in inner:
            return "its convolutions see the future (causal: False)"
    encoder, decoder = separator.encoder.conv1d, separator.decoder
    if (encoder.kernel_size, encoder.stride) != (
        decoder.kernel_size,
        decoder.stride,
    ):
        return "its decoder has another kernel or stride than its encoder"
    if encoder.weight.dtype != torch.float32:
        return f"its weights are {encoder.weight.dtype} and not float32"
    return None
