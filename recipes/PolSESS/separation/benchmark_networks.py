"""The networks that ``benchmark.py`` compares.

Authors
 * The PolSESS recipe team 2026
"""

from fast import convtasnet
import torch
from separator import Separator
from torchaudio.models import ConvTasNet

from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import Decoder, Encoder


class Stock(torch.nn.Module):
    """SpeechBrain's modules as they are, called as its recipes call them.

    Arguments
    ---------
    encoder, masknet, decoder : torch.nn.Module
        As for ``separator.Separator``, whose names of parameters it shares.
    """

    def __init__(self, encoder, masknet, decoder):
        super().__init__()
        self.encoder = encoder
        self.masknet = masknet
        self.decoder = decoder

    def forward(self, mixture):
        """Estimates [batch, time, source] of [batch, time]."""
        features = self.encoder(mixture)
        masked = features * self.masknet(features)
        decoded = self.decoder(masked.flatten(0, 1))
        return decoded.reshape(*masked.shape[:2], -1).permute(1, 2, 0)


class Torchaudio(torch.nn.Module):
    """torchaudio's network with the same letters, which has skip connections.

    Arguments
    ---------
    size : benchmark_work.Size
        Of the network.
    outputs : int
        Number of sources.
    """

    def __init__(self, size, outputs):
        super().__init__()
        self.network = ConvTasNet(
            num_sources=outputs,
            enc_kernel_size=size.kernel_size,
            enc_num_feats=size.N,
            msk_kernel_size=size.P,
            msk_num_feats=size.B,
            msk_num_hidden_feats=size.H,
            msk_num_layers=size.X,
            msk_num_stacks=size.R,
            msk_activate="relu",
        )

    def forward(self, mixture):
        """Estimates [batch, time, source] of [batch, time]."""
        return self.network(mixture.unsqueeze(1)).transpose(1, 2)


def make_network(implementation, size, outputs):
    """Makes a network; those of the same seed have the same weights.

    Arguments
    ---------
    implementation : str
        stock, ours or torchaudio.
    size : benchmark_work.Size
        Of the network.
    outputs : int
        Number of sources.

    Returns
    -------
    torch.nn.Module
        [batch, time] -> [batch, time, source].
    """
    if implementation == "torchaudio":
        return Torchaudio(size, outputs)
    letters = {name: getattr(size, name) for name in "NBHPXR"}
    kinds = {
        "stock": (Stock, conv_tasnet.MaskNet),
        "ours": (Separator, convtasnet.MaskNet),
    }
    container, masknet = kinds[implementation]
    return container(
        encoder=Encoder(kernel_size=size.kernel_size, out_channels=size.N),
        masknet=masknet(
            **letters,
            C=outputs,
            norm_type="gLN",
            causal=False,
            mask_nonlinear="relu",
        ),
        decoder=Decoder(
            in_channels=size.N,
            out_channels=1,
            kernel_size=size.kernel_size,
            stride=size.stride,
            bias=False,
        ),
    )
