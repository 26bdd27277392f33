"""The forward pass of a mask-based separation network, in one place.

Training, validation, test and inference all call ``Separator``.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from speechbrain.lobes.models.conv_tasnet import (
    EPS,
    ChannelwiseLayerNorm,
    GlobalLayerNorm,
)
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class _Float32Statistics:
    """Normalises over the last dimensions of ``y`` in float32.

    SpeechBrain's own forward keeps the variance in the precision of its input.
    In float16 its EPS of 1e-8 is zero, so that a frame of digital zeros is
    divided by zero, and the square of quiet speech vanishes. In float32 the
    result is that of SpeechBrain.
    """

    def _normalise(self, y, dims):
        y = F.layer_norm(y.float(), y.shape[-dims:], eps=EPS)
        return self.gamma * y + self.beta


class Float32GlobalLayerNorm(_Float32Statistics, GlobalLayerNorm):
    """gLN with statistics in float32; see ``stabilise_norms``.

    Arguments
    ---------
    channel_size : int
        Number of channels.

    Example
    -------
    >>> norm = Float32GlobalLayerNorm(3)
    >>> norm(torch.zeros(1, 2, 3, dtype=torch.float16)).isfinite().all()
    tensor(True)
    """

    def forward(self, y):
        """Normalises over time and channel.

        Arguments
        ---------
        y : torch.Tensor
            [batch, time, channel], of any floating type.

        Returns
        -------
        torch.Tensor
            [batch, time, channel], float32.
        """
        return self._normalise(y, dims=2)


class Float32ChannelwiseLayerNorm(_Float32Statistics, ChannelwiseLayerNorm):
    """cLN with statistics in float32; see ``stabilise_norms``.

    Arguments
    ---------
    channel_size : int
        Number of channels.

    Example
    -------
    >>> norm = Float32ChannelwiseLayerNorm(3)
    >>> norm(torch.zeros(1, 2, 3, dtype=torch.float16)).isfinite().all()
    tensor(True)
    """

    def forward(self, y):
        """Normalises over the channels of each frame.

        Arguments
        ---------
        y : torch.Tensor
            [batch, time, channel], of any floating type.

        Returns
        -------
        torch.Tensor
            [batch, time, channel], float32.
        """
        return self._normalise(y, dims=1)


def stabilise_norms(module):
    """Gives SpeechBrain's gLN and cLN layers statistics in float32, in place.

    Parameters, their names and the float32 result stay as they are, so
    checkpoints are exchangeable with unmodified modules.

    Arguments
    ---------
    module : torch.nn.Module
        Its layers of exactly these two classes change their class.

    Returns
    -------
    int
        How many layers were changed.

    Example
    -------
    >>> from speechbrain.lobes.models.conv_tasnet import MaskNet
    >>> stabilise_norms(MaskNet(N=4, B=4, H=4, P=3, X=1, R=1, C=1))
    3
    """
    cures = {
        GlobalLayerNorm: Float32GlobalLayerNorm,
        ChannelwiseLayerNorm: Float32ChannelwiseLayerNorm,
    }
    layers = [layer for layer in module.modules() if type(layer) in cures]
    for layer in layers:
        layer.__class__ = cures[type(layer)]
    return len(layers)


class Separator(torch.nn.Module):
    """Encoder, mask network and decoder as one module.

    One module for the network means one gradient synchronisation under
    distributed training. The three parts stay reachable, and are saved, on
    their own, as speechbrain.inference.separation.SepformerSeparation needs
    them; the forward pass is the same as there. Their normalisations are made
    safe for half precision, see ``stabilise_norms``.

    Arguments
    ---------
    encoder : torch.nn.Module
        [batch, time] -> [batch, feature, frame].
    masknet : torch.nn.Module
        [batch, feature, frame] -> [source, batch, feature, frame].
    decoder : torch.nn.Module
        [batch, feature, frame] -> [batch, time].

    Example
    -------
    >>> from speechbrain.lobes.models.conv_tasnet import MaskNet
    >>> from speechbrain.lobes.models.dual_path import Decoder, Encoder
    >>> separator = Separator(
    ...     encoder=Encoder(kernel_size=16, out_channels=8),
    ...     masknet=MaskNet(N=8, B=8, H=8, P=3, X=1, R=1, C=2),
    ...     decoder=Decoder(
    ...         in_channels=8, out_channels=1, kernel_size=16, stride=8
    ...     ),
    ... )
    >>> separator(torch.randn(3, 1001)).shape
    torch.Size([3, 1001, 2])
    """

    def __init__(self, encoder, masknet, decoder):
        super().__init__()
        self.encoder = encoder
        self.masknet = masknet
        self.decoder = decoder
        self.compiled = None
        self.full_batch = 0
        stabilise_norms(self)

    @property
    def min_samples(self):
        """Length of the shortest mixture that the network takes, in samples."""
        convolution = self.encoder.conv1d
        frames = getattr(self.masknet, "min_frames", 1)
        return convolution.kernel_size[0] + (frames - 1) * convolution.stride[0]

    def compile_training(self, **options):
        """Compiles what training does; validation and test stay as they are.

        Those take one mixture at a time, each of its own length, for which a
        static graph would be compiled anew.

        Arguments
        ---------
        **options : dict
            Of torch.compile.
        """
        self.compiled = torch.compile(self._estimate, **options)

    def stop_compiling(self, reason):
        """Uses the network as it is from now on, and says why.

        Arguments
        ---------
        reason : str
            Of the error; its first two lines are shown.
        """
        reason = " ".join(reason.split("\n")[:2])
        logger.warning(
            f"the network cannot be compiled, it is used as it is: {reason}"
        )
        self.compiled = None

    def __getstate__(self):
        """A copy is not compiled: what was compiled has the weights of this one."""
        return {**super().__getstate__(), "compiled": None}

    def forward(self, mixture):
        """Estimates the sources of a mixture.

        Raises ValueError when the mixture is shorter than the encoder's kernel.

        Arguments
        ---------
        mixture : torch.Tensor
            [batch, time].

        Returns
        -------
        torch.Tensor
            Estimates of the same length, [batch, time, source]. The samples
            behind the last whole frame, fewer than a stride, are zero.
        """
        kernel_size = self.encoder.conv1d.kernel_size[0]
        if mixture.shape[-1] < kernel_size:
            raise ValueError(
                f"a mixture of {mixture.shape[-1]} samples is shorter than the "
                f"encoder's kernel of {kernel_size}"
            )
        if self.compiled is None or not self.training:
            return self._estimate(mixture)
        # The last batch of an epoch may be smaller: repeating its items keeps
        # the shape, and each item is estimated on its own.
        batch = len(mixture)
        self.full_batch = max(self.full_batch, batch)
        rows = torch.arange(self.full_batch, device=mixture.device) % batch
        try:
            return self.compiled(mixture[rows])[:batch]
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error)
        # Not before the error is gone, which keeps the signals of the attempt.
        self.stop_compiling(reason)
        return self._estimate(mixture)

    def _estimate(self, mixture):
        features = self.encoder(mixture)
        masked = features * self.masknet(features)
        sources, batch = masked.shape[:2]
        # [source, batch, feature, frame] -> [source, batch, time]
        decoded = self.decoder(masked.flatten(0, 1)).reshape(sources, batch, -1)
        decoded = F.pad(decoded, (0, mixture.shape[-1] - decoded.shape[-1]))
        return decoded.permute(1, 2, 0)
