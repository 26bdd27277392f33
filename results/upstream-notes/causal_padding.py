"""The causal convolution of Conv-TasNet is padded twice, so it lags.

With kernel 3 and dilation d a causal convolution sees the frames t-2d, t-d and t.
DepthwiseSeparableConv pads 2d frames in front, then its inner convolution
pads d on both sides once more ("same"), and 2d are cut off the end: it sees t-3d,
t-2d and t-d, never the present frame.

> python causal_padding.py

It exits with 1 where the present frame is not seen, with 0 where it is.

Authors
 * The PolSESS recipe team 2026
"""

import sys

import torch

from speechbrain.lobes.models.conv_tasnet import DepthwiseSeparableConv

FRAMES, FRAME = 40, 30


def seen_frames(dilation):
    """How far back the frames are that an output frame depends on."""
    layer = DepthwiseSeparableConv(
        input_shape=(1, FRAMES, 1),
        out_channels=1,
        kernel_size=3,
        stride=1,
        padding="same",
        dilation=dilation,
        norm_type="cLN",
        causal=True,
    )
    signal = torch.ones(1, FRAMES, 1, requires_grad=True)
    # The convolution and the cut alone: act and norm keep frames apart.
    layer.chomp(layer.conv_0(signal))[0, FRAME, 0].backward()
    frames = signal.grad[0, :, 0].nonzero()[:, 0]
    return sorted((FRAME - frames).tolist())


if __name__ == "__main__":
    seen = {dilation: seen_frames(dilation) for dilation in (1, 2, 4)}
    for dilation, back in seen.items():
        print(f"dilation {dilation}: depends on the frames t - {back}")
    sys.exit(any(0 not in back for back in seen.values()))
