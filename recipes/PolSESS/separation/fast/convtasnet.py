"""Conv-TasNet that computes what SpeechBrain's does, in a fraction of the time.

The classes are SpeechBrain's with another forward pass, so that parameters, their
names and their initial values are the same: a checkpoint of one is a checkpoint of
the other, and speechbrain.inference.separation.SepformerSeparation loads both.

What SpeechBrain's forward pass spends its time on, and what is done here:

* It changes between [batch, time, channel] and [batch, channel, time] before and
  after each convolution. Here there is one layout, [batch, channel, time].
* Every convolution pads by reflection, those of length 1 by nothing, which copies
  the signal all the same. Only the padding of the depthwise ones is a part of
  the function, and kept.
* An odd number of frames makes its matrix products slow. Here the number is
  rounded up to a multiple of 16, and what is added has no influence.
* Each normalisation keeps several copies of its input for the backward pass, in
  the precision of its input. See ``temporal_block``.

The last two are for gLN that is not causal, not compiled. Causal networks and cLN
have the layout without the needless padding, and statistics in float32.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F
from fast.block_functions import normalised, release_buffers
from fast.depthwise import min_frames
from fast.products import product
from fast.temporal_block import ALIGNMENT, TemporalBlock, plain_block

from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import Decoder, Encoder

# SpeechBrain's encoder and decoder have this layout already, and take about one
# percent of the time: they are used as they are.
__all__ = ["Decoder", "Encoder", "MaskNet", "mask_network"]


def mask_network(implementation, **options):
    """Makes the mask network of Conv-TasNet in one of two implementations.

    Raises ValueError when the implementation is unknown.

    Arguments
    ---------
    implementation : str
        fast, or stock for SpeechBrain's own. Both have the same parameters under
        the same names and compute the same.
    **options : dict
        See ``MaskNet``.

    Returns
    -------
    torch.nn.Module
        [batch, N, frame] -> [source, batch, N, frame].

    Example
    -------
    >>> sizes = dict(N=4, B=4, H=8, P=3, X=1, R=1, C=1)
    >>> type(mask_network("stock", **sizes)).__module__
    'speechbrain.lobes.models.conv_tasnet'
    """
    if implementation not in ("fast", "stock"):
        raise ValueError(
            f"implementation: expected fast or stock, found {implementation!r}"
        )
    if implementation == "fast":
        return MaskNet(**options)
    network = conv_tasnet.MaskNet(**options)
    sizes = options["P"], options["X"], options.get("causal", False)
    network.min_frames = min_frames(*sizes)
    return network


class MaskNet(conv_tasnet.MaskNet):
    """The mask network of Conv-TasNet; see the module.

    Raises ValueError when norm_type is neither gLN nor cLN, or mask_nonlinear is
    neither relu nor softmax.

    Arguments
    ---------
    N, B, H, P, X, R, C : int
        The letters of the paper; C is the number of sources.
    norm_type : str
        gLN or cLN.
    causal : bool
        Whether frames depend on earlier ones alone.
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
        if norm_type not in ("gLN", "cLN"):
            raise ValueError(
                f"norm_type: expected gLN or cLN, found {norm_type!r}; others "
                "need --implementation=stock"
            )
        if mask_nonlinear not in ("relu", "softmax"):
            raise ValueError(
                "mask_nonlinear: expected relu or softmax, found "
                f"{mask_nonlinear!r}"
            )
        super().__init__(N, B, H, P, X, R, C, norm_type, causal, mask_nonlinear)
        self.causal = causal
        self.dims = (1, 2) if norm_type == "gLN" else (1,)
        self.min_frames = min_frames(P, X, causal)

    def forward(self, mixture_w):
        """Estimates the masks.

        Raises ValueError when there are fewer frames than reflection takes, see
        ``min_frames``, or when the network was converted to another type than
        float32.

        Arguments
        ---------
        mixture_w : torch.Tensor
            Features of the mixture, [batch, N, frame].

        Returns
        -------
        torch.Tensor
            [source, batch, N, frame]
        """
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
                "torch.autocast (--precision), or --implementation=stock"
            )
        device = mixture_w.device.type
        dtype = torch.float32
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        items = [mixture_w]
        is_compiling = torch.compiler.is_compiling()
        if device == "cpu" and not is_compiling:
            # One at a time, so that more of it stays in the cache.
            items = mixture_w.split(1)
        with torch.autocast(device, enabled=False):
            masks = [self._masks(item, dtype) for item in items]
        if not (torch.is_grad_enabled() or is_compiling):
            release_buffers()  # the next mixture may be long before it comes
        return torch.cat(masks, 1) if len(masks) > 1 else masks[0]

    def _masks(self, features, dtype):
        """The masks, its products computed in the given precision."""
        frames = features.shape[-1]
        keep = torch.is_grad_enabled()
        # A compiler fuses plain functions, and keeps what it sees fit.
        is_plain = self.causal or self.dims == (1,)
        is_plain = is_plain or torch.compiler.is_compiling()
        y = normalised(features.float(), (1,), *_affine(self.layer_norm))
        if not is_plain:
            y = F.pad(y, (0, -frames % ALIGNMENT))
        y = _convolved(self.bottleneck_conv1x1, y.to(dtype))
        for block in self.temporal_conv_net.values():
            dilation, *parameters = block_parameters(block.layers)
            if is_plain:
                geometry = dilation, self.causal, self.dims
                y = plain_block(y, geometry, *parameters)
            else:
                y = TemporalBlock.apply(y, frames, dilation, keep, *parameters)
        scores = _convolved(self.mask_conv1x1, y)[..., :frames]
        scores = scores.unflatten(1, (self.C, -1)).transpose(0, 1)
        if self.mask_nonlinear == "softmax":
            return F.softmax(scores, dim=2)
        return F.relu(scores)


def block_parameters(layers):
    """Dilation and parameters of a block, as ``TemporalBlock`` takes them.

    Arguments
    ---------
    layers : torch.nn.ModuleDict
        Of a temporal block, SpeechBrain's too.

    Returns
    -------
    tuple
        Dilation, w1, a1, g1, b1, d, a2, g2, b2, w2.
    """
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


def _convolved(layer, signal):
    """What SpeechBrain's convolution of length 1 makes of a signal."""
    return product(layer.conv.weight.squeeze(-1).to(signal.dtype), signal)


def _affine(norm):
    """Gain and offset of SpeechBrain's gLN or cLN, [channel, 1]."""
    return norm.gamma.reshape(-1, 1), norm.beta.reshape(-1, 1)
