"""Separates live audio: a causal Conv-TasNet, block by block.

A stream computes what ``Separator`` computes of the whole signal less its running
mean. Between blocks it keeps

* the running mean, which takes out a DC offset;
* samples of which the encoder has not made all its frames;
* for each temporal block, the past frames that its convolution reads;
* of the decoder's overlap-add, the samples to which later frames will add.

Latency: the encoder makes frame f of samples f * stride to f * stride + kernel - 1,
and the decoder adds it to the same samples. The last frame that contributes to
sample t is floor(t / stride), so that t is complete once sample
floor(t / stride) * stride + kernel - 1 was pushed: kernel - 1 samples later if t is a
multiple of the stride, and less for others. The mask network is causal and adds no
latency.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import torch
import torch.nn.functional as F
from inference.offset import RunningMean
from networks.registry import find_network

from speechbrain.lobes.models.conv_tasnet import EPS, ChannelwiseLayerNorm
from streaming.stream_block import StreamBlock

TRAIN = "train hparams/convtasnet.yaml with --norm_type=cLN --causal=True"


def check_causal(separator):
    """Raises ValueError when a network cannot work on live audio.

    Arguments
    ---------
    separator : Separator
        Its mask network may be the fast or SpeechBrain's own Conv-TasNet.
    """
    network = find_network(separator)
    if network is not None and network.streaming:
        problem = f"this is {network.name}: {network.streaming}"
    else:
        problem = _problem(separator)
    if problem:
        raise ValueError(
            f"live audio needs a causal Conv-TasNet, but {problem}; {TRAIN}"
        )


def _problem(separator):
    """Why a network cannot stream; None if it can."""
    masknet = getattr(separator, "masknet", separator)
    if not hasattr(masknet, "temporal_conv_net"):
        return f"the network is a {type(masknet).__name__}"
    for block in masknet.temporal_conv_net.values():
        inner = block.layers["DSconv"]
        for norm in (block.layers["norm"], inner["act_0"]):
            if not isinstance(norm, ChannelwiseLayerNorm):
                return (
                    f"it normalises by {type(norm).__name__} and not by cLN, "
                    "which normalises each frame alone"
                )
        if "chomp" not in inner:
            return "its convolutions read future frames (causal: False)"
    encoder, decoder = separator.encoder.conv1d, separator.decoder
    sizes = encoder.kernel_size, encoder.stride
    if sizes != (decoder.kernel_size, decoder.stride):
        return "its decoder has another kernel or stride than its encoder"
    if encoder.weight.dtype != torch.float32:
        return f"its weights are {encoder.weight.dtype} and not float32"
    return None


class StreamingSeparator:
    """Separates one live stream; each further stream needs its own instance.

    The estimates are those of ``Separator.forward`` on the whole stream less its
    running mean, whatever the size of the blocks. The network stays as it is.

    Raises ValueError when the network is not causal, see ``check_causal``.

    Arguments
    ---------
    separator : Separator
        With its weights, on the device that computes. Call ``reset`` after
        changing weights.

    Example
    -------
    >>> from separator import Separator
    >>> from speechbrain.lobes.models.conv_tasnet import MaskNet
    >>> from speechbrain.lobes.models.dual_path import Decoder, Encoder
    >>> _ = torch.manual_seed(0)
    >>> masknet = MaskNet(
    ...     N=8, B=8, H=8, P=3, X=2, R=1, C=2, norm_type="cLN", causal=True
    ... )
    >>> decoder = Decoder(8, 1, kernel_size=16, stride=8, bias=False)
    >>> separator = Separator(Encoder(16, 8), masknet, decoder)
    >>> stream = StreamingSeparator(separator)
    >>> stream.latency_samples
    15
    >>> signal = torch.randn(103)
    >>> parts = [stream.push(block) for block in signal.split(30)]
    >>> [len(part) for part in parts]
    [16, 32, 32, 8]
    >>> estimate = torch.cat([*parts, stream.flush()])
    >>> estimate.shape
    torch.Size([103, 2])
    >>> expected = separator(RunningMean()(signal)[None])[0]
    >>> torch.allclose(estimate, expected, atol=1e-5)
    True
    """

    def __init__(self, separator):
        check_causal(separator)
        self.separator = separator
        self.reset()

    @property
    def latency_samples(self):
        """Largest delay of the output, kernel - 1 samples.

        Estimate t is returned once sample t + latency_samples was pushed. The
        length of the blocks comes on top.
        """
        return self._kernel - 1

    def run(self, blocks, block_samples):
        """Separates a whole stream.

        Raises ValueError as ``push`` and ``flush`` do.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            The mixture, [time], in blocks of any length.
        block_samples : int
            Longer blocks are pushed in parts of this length.

        Yields
        ------
        torch.Tensor
            Estimates, [time, source], on the CPU, in all as long as the mixture.
        """
        self.reset()
        for block in blocks:
            for part in block.split(block_samples):
                yield self.push(part).cpu()
        yield self.flush().cpu()

    @torch.no_grad()
    def reset(self):
        """Starts another stream."""
        encoder = self.separator.encoder.conv1d
        masknet = self.separator.masknet
        device = encoder.weight.device
        (self._kernel,), (self._stride,) = encoder.kernel_size, encoder.stride
        self._blocks = [
            StreamBlock(block.layers)
            for block in masknet.temporal_conv_net.values()
        ]
        self._mean = RunningMean()
        self._samples = torch.zeros(0, device=device)
        self._tail = torch.zeros(
            masknet.C, self._kernel - self._stride, device=device
        )
        self._n_pushed = self._n_returned = 0

    @torch.no_grad()
    def push(self, samples):
        """Takes samples, and returns all estimates that are complete.

        Raises ValueError when the samples are not a signal of finite floats;
        the stream can go on with other samples.

        Arguments
        ---------
        samples : torch.Tensor or numpy.ndarray
            [time], mono, of any length, at the sample rate of the model.

        Returns
        -------
        torch.Tensor
            The next estimates, [time, source], float32, on the device of the
            network; empty if none is complete.
        """
        samples = self._mean(self._checked(samples))
        self._n_pushed += len(samples)
        samples = torch.cat((self._samples, samples))
        n_frames = (len(samples) - self._kernel) // self._stride + 1
        if n_frames < 1:
            self._samples = samples
            return self._tail.new_zeros(0, len(self._tail))
        length = n_frames * self._stride
        self._samples = samples[length:].clone()
        overlap = self._kernel - self._stride
        decoded = self._decoded(samples[: length + overlap])
        decoded[:, :overlap] += self._tail
        self._tail = decoded[:, length:].clone()
        self._n_returned += length
        return self._output(decoded[:, :length])

    @torch.no_grad()
    def flush(self):
        """Ends the stream and returns the remaining estimates.

        Raises ValueError when the stream was shorter than the encoder's kernel,
        as ``Separator.forward`` does.

        Returns
        -------
        torch.Tensor
            [time, source]. In all, as many estimates as samples are returned.
            After the last whole frame, fewer than a stride, they are zero.
        """
        tail, n_pushed = self._tail, self._n_pushed
        rest = n_pushed - self._n_returned
        self.reset()
        if n_pushed < self._kernel:
            raise ValueError(
                f"a stream of {n_pushed} samples is shorter than the encoder's "
                f"kernel of {self._kernel}"
            )
        tail = self._output(tail)
        return F.pad(tail, (0, 0, 0, rest - len(tail)))

    def _checked(self, samples):
        """The samples in float32, on the device of the network."""
        if not isinstance(samples, torch.Tensor):
            samples = np.asarray(samples)
            is_float = samples.dtype.kind == "f"
        else:
            is_float = samples.is_floating_point()
        if samples.ndim != 1 or not is_float:
            raise ValueError(
                "expected one signal of floats, [time], found "
                f"{samples.dtype} of shape {list(samples.shape)}"
            )
        if not isinstance(samples, torch.Tensor):
            samples = torch.from_numpy(samples.astype(np.float64))
        samples = samples.to(self._tail)
        if not samples.isfinite().all():
            number = samples.isfinite().logical_not().nonzero()[0].item()
            raise ValueError(
                f"sample {self._n_pushed + number} of the stream is "
                f"{samples[number].item()}, expected finite numbers"
            )
        return samples

    def _decoded(self, samples):
        """Overlap-adds the frames of some samples, [source, time]."""
        masknet, decoder = self.separator.masknet, self.separator.decoder
        with torch.autocast(samples.device.type, enabled=False):
            features = self.separator.encoder(samples[None])[0]
            y = features.t()  # [frame, feature]
            gain, offset = masknet.layer_norm.gamma, masknet.layer_norm.beta
            y = F.layer_norm(y, y.shape[1:], gain[0, 0], offset[0, 0], EPS)
            y = _pointwise(masknet.bottleneck_conv1x1, y)
            for block in self._blocks:
                y = block(y)
            masks = _pointwise(masknet.mask_conv1x1, y)
            # [frame, source * feature] -> [source, feature, frame]
            masks = masks.unflatten(1, (masknet.C, -1)).permute(1, 2, 0)
            if masknet.mask_nonlinear == "softmax":
                masks = masks.softmax(dim=1)
            else:
                masks = masks.relu()
            decoded = F.conv_transpose1d(
                features * masks, decoder.weight, stride=self._stride
            )
        return decoded[:, 0]

    def _output(self, decoded):
        """[source, time] -> [time, source], with the bias of the decoder."""
        if self.separator.decoder.bias is not None:
            decoded = decoded + self.separator.decoder.bias
        return decoded.t().contiguous()


def _pointwise(layer, signal):
    """A convolution of length 1 of [frame, channel]."""
    return F.linear(signal, layer.conv.weight[..., 0])
