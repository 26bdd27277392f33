"""Separation of live audio: a causal Conv-TasNet, block by block.

A stream computes what ``Separator`` computes of the whole signal. It keeps,
instead of the signal, what later samples need of the earlier ones:

* samples: those of which the encoder has not made all its frames;
* for each temporal block, the frames that its convolution looks back to;
* of the decoder's overlap-add, the samples to which later frames will add.

Latency: the encoder makes frame f of the samples f * stride to
f * stride + kernel - 1, and the decoder adds it to the same ones. The last
frame of which sample t consists is floor(t / stride), so that t is known once
sample floor(t / stride) * stride + kernel - 1 is. That is t + kernel - 1 where
t is a multiple of the stride, and less for others. The mask network adds
nothing, as it is causal.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import torch
import torch.nn.functional as F
from fast.block_functions import EPS
from streaming.causality import check_causal
from streaming.stream_block import StreamBlock


class StreamingSeparator:
    """Separates one live stream; use another instance for each further one.

    The estimates are those of ``Separator.forward`` on the whole stream,
    whatever the size of the blocks. Neither weights nor the mode of the network
    are changed, and no gradient is made.

    Raises ValueError when the network is not causal, see ``check_causal``.

    Arguments
    ---------
    separator : Separator
        With its weights, on the device that shall compute. After changing one
        of them, call ``reset``.

    Example
    -------
    >>> from fast.convtasnet import Decoder, Encoder, MaskNet
    >>> from separator import Separator
    >>> _ = torch.manual_seed(0)
    >>> masknet = MaskNet(
    ...     N=8, B=8, H=8, P=3, X=2, R=1, C=2, norm_type="cLN", causal=True
    ... )
    >>> decoder = Decoder(8, 1, kernel_size=16, stride=8, bias=False)
    >>> separator = Separator(Encoder(16, 8), masknet, decoder)
    >>> stream = StreamingSeparator(separator)
    >>> stream.latency_samples, stream.latency_ms(8000)
    (15, 1.875)
    >>> signal = torch.randn(103)
    >>> parts = [stream.push(block) for block in signal.split(30)]
    >>> [len(part) for part in parts]
    [16, 32, 32, 8]
    >>> estimate = torch.cat([*parts, stream.flush()])
    >>> estimate.shape
    torch.Size([103, 2])
    >>> torch.allclose(estimate, separator(signal[None])[0], atol=1e-5)
    True
    """

    def __init__(self, separator):
        check_causal(separator)
        self.separator = separator
        self.reset()

    @property
    def latency_samples(self):
        """How far the input is ahead of the output at most, in samples.

        Estimate t has been returned once sample t + latency_samples has been
        pushed: kernel - 1, see the module. The length of the blocks in which
        audio is recorded comes on top.
        """
        return self._kernel - 1

    def latency_ms(self, sample_rate):
        """``latency_samples`` as a time.

        Raises ValueError when the rate is not positive.

        Arguments
        ---------
        sample_rate : int
            In Hz.

        Returns
        -------
        float
            In milliseconds.
        """
        if not sample_rate > 0:
            raise ValueError(
                f"sample_rate: expected a positive number, found {sample_rate}"
            )
        return 1000 * self.latency_samples / sample_rate

    @torch.no_grad()
    def reset(self):
        """Forgets the stream: the next sample is the first of another one."""
        encoder = self.separator.encoder.conv1d
        masknet = self.separator.masknet
        device = encoder.weight.device
        (self._kernel,), (self._stride,) = encoder.kernel_size, encoder.stride
        self._blocks = [
            StreamBlock(block.layers)
            for block in masknet.temporal_conv_net.values()
        ]
        self._samples = torch.zeros(0, device=device)
        self._tail = torch.zeros(
            masknet.C, self._kernel - self._stride, device=device
        )
        self._n_pushed = self._n_returned = 0

    @torch.no_grad()
    def push(self, samples):
        """Takes samples, and returns all estimates that are known by now.

        Raises ValueError when the samples are not a signal of finite floats;
        the stream then stays as it was.

        Arguments
        ---------
        samples : torch.Tensor or numpy.ndarray
            [time], mono, of any length, at the sample rate of the model.

        Returns
        -------
        torch.Tensor
            The estimates that follow those returned before, [time, source],
            maybe none, float32, on the device of the network.
        """
        samples = self._checked(samples)
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
        """Ends the stream, and returns what it still owes; another may begin.

        Raises ValueError when the stream was shorter than the encoder's kernel,
        as ``Separator.forward`` does.

        Returns
        -------
        torch.Tensor
            [time, source]. With it, as many estimates as samples have been
            returned. Those behind the last whole frame, fewer than a stride,
            are zero.
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
        """Overlap-add of the frames of some samples, [source, time]."""
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
        """What is returned of [source, time]."""
        if self.separator.decoder.bias is not None:
            decoded = decoded + self.separator.decoder.bias
        return decoded.t().contiguous()


def _pointwise(layer, signal):
    """A convolution of length 1 of [frame, channel]."""
    return F.linear(signal, layer.conv.weight[..., 0])
