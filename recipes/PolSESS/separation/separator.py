"""The forward pass: encoder, mask network and decoder as one module.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from speechbrain.lobes.models import conv_tasnet, dual_path

NORMS = (
    conv_tasnet.ChannelwiseLayerNorm,
    conv_tasnet.GlobalLayerNorm,
    dual_path.CumulativeLayerNorm,
    dual_path.GlobalLayerNorm,
)


def _norms_in_float32(module):
    """Lets SpeechBrain's gLN and cLN layers compute in float32.

    Under autocast they keep their variance in the precision of their input. In
    fp16 the EPS of 1e-8 then vanishes, and silent frames become NaN.
    """
    for layer in module.modules():
        if isinstance(layer, NORMS):
            layer.register_forward_pre_hook(_to_float32)


def _to_float32(layer, inputs):
    return tuple(signal.float() for signal in inputs)


class Separator(torch.nn.Module):
    """Encoder, mask network and decoder as one module.

    One module means one gradient synchronisation under distributed training.
    Its parts are saved on their own, for speechbrain.inference.separation's
    SepformerSeparation, whose forward pass is the same. Raises ValueError when
    the decoder's stride is not the encoder's.

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
    >>> masknet = MaskNet(N=8, B=8, H=8, P=3, X=1, R=1, C=2)
    >>> decoder = Decoder(8, 1, kernel_size=16, stride=8)
    >>> separator = Separator(Encoder(16, out_channels=8), masknet, decoder)
    >>> separator(torch.randn(3, 1001)).shape
    torch.Size([3, 1001, 2])
    """

    def __init__(self, encoder, masknet, decoder):
        super().__init__()
        if encoder.conv1d.stride != decoder.stride:
            raise ValueError(
                "stride: SpeechBrain's encoder moves by half its kernel, "
                f"expected {encoder.conv1d.stride[0]} for kernel_size "
                f"{encoder.conv1d.kernel_size[0]}, found {decoder.stride[0]}"
            )
        self.encoder = encoder
        self.masknet = masknet
        self.decoder = decoder
        _norms_in_float32(self)

    @property
    def num_spks(self):
        """Number of sources that the network estimates."""
        return getattr(self.masknet, "num_spks", None) or self.masknet.C

    @property
    def min_samples(self):
        """Length of the shortest mixture that the network takes, in samples."""
        convolution = self.encoder.conv1d
        frames = getattr(self.masknet, "min_frames", 1)
        return convolution.kernel_size[0] + (frames - 1) * convolution.stride[0]

    def forward(self, mixture):
        """Estimates the sources, [batch, time, source], of [batch, time].

        The samples after the last whole frame, fewer than a stride, are zero.
        Raises ValueError when the mixture is shorter than the encoder's kernel.
        """
        kernel_size = self.encoder.conv1d.kernel_size[0]
        if mixture.shape[-1] < kernel_size:
            raise ValueError(
                f"a mixture of {mixture.shape[-1]} samples is shorter than the "
                f"encoder's kernel of {kernel_size}"
            )
        features = self.encoder(mixture)
        masked = features * self.masknet(features)
        sources, batch = masked.shape[:2]
        # [source, batch, feature, frame] -> [source, batch, time]
        decoded = self.decoder(masked.flatten(0, 1)).reshape(sources, batch, -1)
        decoded = F.pad(decoded, (0, mixture.shape[-1] - decoded.shape[-1]))
        return decoded.permute(1, 2, 0)
