"""Faster Conv-TasNet mask network with the results of SpeechBrain's.

``MaskNet`` is SpeechBrain's class with another forward pass. Parameters, their
names and initial values are the same, so checkpoints are exchangeable, and
speechbrain.inference.separation.SepformerSeparation loads both.

What differs from SpeechBrain's forward pass:

* One layout, [batch, channel, frame]. SpeechBrain transposes before and after
  each convolution.
* Only depthwise convolutions pad. SpeechBrain also pads convolutions of length
  1, by nothing, which copies the signal.
* Frames are zero-padded to a multiple of 16 for the matrix products. This does
  not change the result.
* Less is saved for the gradient, see ``temporal_block``.

The last two hold for gLN without torch.compile. All have statistics in float32.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F
from networks.mapping import check_sizes

from fast.block_functions import normalise, release_buffers
from fast.products import product
from fast.temporal_block import ALIGNMENT, TemporalBlock, plain_block
from speechbrain.lobes.models import conv_tasnet


class MaskNet(conv_tasnet.MaskNet):
    """Mask network of Conv-TasNet.

    Raises ValueError for a norm_type other than gLN and cLN, for causal gLN,
    for a causal that is not a bool, for an even P, and for a mask_nonlinear
    other than relu and softmax.

    Arguments
    ---------
    N, B, H, P, X, R, C : int
        Sizes by the letters of the paper. C is the number of sources.
    norm_type : str
        gLN or cLN.
    causal : bool
        True: a frame depends on itself and earlier frames only.
    mask_nonlinear : str
        relu or softmax.

    Example
    -------
    >>> _ = torch.manual_seed(0)
    >>> stock = conv_tasnet.MaskNet(N=4, B=4, H=8, P=3, X=2, R=1, C=2)
    >>> masknet = MaskNet(N=4, B=4, H=8, P=3, X=2, R=1, C=2)
    >>> _ = masknet.load_state_dict(stock.state_dict())
    >>> features = torch.rand(1, 4, 99)
    >>> masknet(features).shape
    torch.Size([2, 1, 4, 99])
    >>> torch.allclose(masknet(features), stock(features), atol=1e-5)
    True
    """

    def __init__(
        self,
        N,
        B,
        H,
        P,
        X,
        R,
        C,
        norm_type="gLN",
        causal=False,
        mask_nonlinear="relu",
    ):
        check_sizes(N=N, B=B, H=H, P=P, X=X, R=R, C=C)
        _check_options(P, norm_type, causal, mask_nonlinear)
        super().__init__(N, B, H, P, X, R, C, norm_type, causal, mask_nonlinear)
        self.causal = causal
        self.dims = (1, 2) if norm_type == "gLN" else (1,)
        # Reflection takes one frame more than it adds.
        self.min_frames = 1 if causal else (P - 1) // 2 * 2 ** (X - 1) + 1

    def forward(self, mixture_w):
        """Estimates the masks.

        Raises ValueError when there are fewer than ``min_frames`` frames, or
        when the network was converted to another dtype than float32.

        Arguments
        ---------
        mixture_w : torch.Tensor
            Features of the mixture, [batch, N, frame].

        Returns
        -------
        torch.Tensor
            [source, batch, N, frame].
        """
        self._check_input(mixture_w)
        device = mixture_w.device.type
        dtype = torch.float32
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        items = [mixture_w]
        is_compiling = torch.compiler.is_compiling()
        if device == "cpu" and not is_compiling:
            # One item at a time stays in the cache.
            items = mixture_w.split(1)
        with torch.autocast(device, enabled=False):
            masks = [self._masks(item, dtype) for item in items]
        if not (torch.is_grad_enabled() or is_compiling):
            release_buffers()  # the next mixture may come much later
        return torch.cat(masks, 1) if len(masks) > 1 else masks[0]

    def _check_input(self, mixture_w):
        """Raises ValueError for short mixtures and converted networks."""
        if mixture_w.shape[-1] < self.min_frames:
            raise ValueError(
                f"a mixture of {mixture_w.shape[-1]} frames is too short for a "
                f"mask network that reaches {self.min_frames - 1} frames to "
                f"each side; at least {self.min_frames} are needed"
            )
        if self.layer_norm.gamma.dtype != torch.float32:
            raise ValueError(
                "the mask network was converted to "
                f"{self.layer_norm.gamma.dtype}; leave it in float32 and use "
                "torch.autocast (--precision)"
            )

    def _masks(self, features, dtype):
        """Computes the masks, with matrix products in the given dtype."""
        frames = features.shape[-1]
        y = normalise(features.float(), (1,), *_affine(self.layer_norm))
        if not self._is_plain():
            y = F.pad(y, (0, -frames % ALIGNMENT))
        y = _pointwise(self.bottleneck_conv1x1, y.to(dtype))
        for block in self.temporal_conv_net.values():
            y = self.run_block(y, frames, block.layers)
        scores = _pointwise(self.mask_conv1x1, y)[..., :frames]
        scores = scores.unflatten(1, (self.C, -1)).transpose(0, 1)
        if self.mask_nonlinear == "softmax":
            return F.softmax(scores, dim=2)
        return F.relu(scores)

    def _is_plain(self):
        """The compiler cannot trace the buffers, and fuses plain functions."""
        return self.dims == (1,) or torch.compiler.is_compiling()

    def run_block(self, y, frames, layers):
        """Computes one temporal block.

        Arguments
        ---------
        y : torch.Tensor
            [batch, channel, frame], zero after the last frame.
        frames : int
            Number of frames without padding.
        layers : torch.nn.Module
            Layers of SpeechBrain's block.

        Returns
        -------
        torch.Tensor
            Shape of y.
        """
        dilation, *parameters = _block_parameters(layers)
        if self._is_plain():
            geometry = dilation, self.causal, self.dims
            return plain_block(y, geometry, *parameters)
        keep = torch.is_grad_enabled()
        return TemporalBlock.apply(y, frames, dilation, keep, *parameters)


def _block_parameters(layers):
    """Returns the dilation, w1, a1, g1, b1, d, a2, g2, b2 and w2 of a block."""
    names = "conv_0", "act", "act_0", "conv_1"
    depthwise, act, norm, last = (layers["DSconv"][name] for name in names)
    return (
        depthwise.dilation,
        layers["conv"].conv.weight.squeeze(-1),
        layers["act"].weight,
        *_affine(layers["norm"]),
        depthwise.conv.weight.squeeze(1),
        act.weight,
        *_affine(norm),
        last.conv.weight.squeeze(-1),
    )


def _check_options(P, norm_type, causal, mask_nonlinear):
    """Raises ValueError for options that ``MaskNet`` does not have."""
    if norm_type not in ("gLN", "cLN"):
        raise ValueError(
            f"norm_type: expected gLN or cLN, found {norm_type!r}; for others "
            "set masknet in the YAML to "
            "!new:speechbrain.lobes.models.conv_tasnet.MaskNet"
        )
    if not isinstance(causal, bool):
        raise ValueError(
            f"causal: expected True or False, found {causal!r}; write "
            "--causal=True"
        )
    if causal and norm_type == "gLN":
        raise ValueError(
            "causal: gLN averages over the whole mixture, which is not causal; "
            "use --norm_type=cLN"
        )
    if P % 2 == 0:
        raise ValueError(
            f"P: expected an odd number of frames, found {P}; the kernel is "
            "centred on a frame"
        )
    if mask_nonlinear not in ("relu", "softmax"):
        raise ValueError(
            "mask_nonlinear: expected relu or softmax, found "
            f"{mask_nonlinear!r}"
        )


def _pointwise(layer, signal):
    """Applies SpeechBrain's convolution of length 1."""
    return product(layer.conv.weight.squeeze(-1).to(signal.dtype), signal)


def _affine(norm):
    """Returns gain and offset of SpeechBrain's gLN or cLN, [channel, 1]."""
    return norm.gamma.reshape(-1, 1), norm.beta.reshape(-1, 1)
