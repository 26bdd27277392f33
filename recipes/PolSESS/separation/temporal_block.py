"""The temporal block of Conv-TasNet, x + W2 n(p(D n(p(W1 x)))), as one function.

W are pointwise convolutions, D a depthwise one, p is PReLU, n gLN or cLN. Rows of
signals begin at multiples of ``ALIGNMENT`` frames, so that the pointwise
convolutions are aligned products of matrices; what lies behind the last frame is
kept at zero, so that it adds nothing to sums. Products are in the precision of
autocast, all between them in float32.

From: Y. Luo, N. Mesgarani, "Conv-TasNet: Surpassing ideal time-frequency magnitude
masking for speech separation", TASLP 2019; as SpeechBrain has it, without skip
connections.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F
from block_functions import (
    EPS,
    depthwise,
    depthwise_backward,
    moments,
    normalised,
    normalised_backward,
    prelu_backward,
    product,
    standardised,
)
from torch.autograd.function import once_differentiable

ALIGNMENT = 16  # 64 bytes in float32, 32 in float16


class TemporalBlock(torch.autograd.Function):
    """A block that keeps its input, and what enters its PReLUs, for the gradient.

    All else is made again in the backward pass, which takes a few percent of the
    time of the products.
    """

    @staticmethod
    def forward(ctx, x, geometry, w1, a1, g1, b1, d, a2, g2, b2, w2):
        """Computes a block.

        Arguments
        ---------
        ctx : object
            Of autograd.
        x : torch.Tensor
            [batch, channel, frame], in the precision of the products, zero
            behind the last frame.
        geometry : block_functions.Geometry
            What the block does along time.
        w1, w2 : torch.Tensor
            Pointwise convolutions, [hidden, channel] and [channel, hidden].
        a1, a2 : torch.Tensor
            Slopes of PReLU, [1].
        g1, b1, g2, b2 : torch.Tensor
            Gain and offset of the normalisations, [hidden, 1].
        d : torch.Tensor
            Depthwise convolution, [hidden, tap].

        Returns
        -------
        torch.Tensor
            Like x.
        """
        frames = geometry.frames
        with torch.autocast(x.device.type, enabled=False):
            before1 = product(w1.to(x.dtype), x)
            signal = F.prelu(before1.float(), a1)
            moments1 = moments(signal, geometry)
            signal = normalised(signal, *moments1, g1, b1, frames)
            before2 = depthwise(signal, d, geometry).to(x.dtype)
            signal = F.prelu(before2.float(), a2)
            moments2 = moments(signal, geometry)
            signal = normalised(signal, *moments2, g2, b2, frames)
            y = product(w2.to(x.dtype), signal.to(x.dtype)).add_(x)
        ctx.geometry = geometry
        ctx.save_for_backward(
            x, before1, before2, *moments1, *moments2,
            w1, a1, g1, b1, d, a2, g2, b2, w2,
        )  # fmt: skip
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        """Computes the gradients of the arguments of ``forward``.

        Arguments
        ---------
        ctx : object
            Of autograd.
        dy : torch.Tensor
            Gradient of the result.

        Returns
        -------
        tuple of torch.Tensor
            In the order of the arguments.
        """
        geometry, frames, saved = (
            ctx.geometry,
            ctx.geometry.frames,
            ctx.saved_tensors,
        )
        x, before1, before2, mean1, scale1, mean2, scale2 = saved[:7]
        w1, a1, g1, b1, d, a2, g2, b2, w2 = saved[7:]
        with torch.autocast(x.device.type, enabled=False):
            before2 = before2.float()
            signal = F.prelu(before2, a2)
            signal = standardised(signal, mean2, scale2, frames)
            # What the gains and offsets get follows from the same product as dW2.
            outer = torch.bmm(dy, signal.to(x.dtype).transpose(1, 2)).float()
            total = dy.sum(-1, keepdim=True, dtype=torch.float32)
            dw2 = (outer * g2.t() + total * b2.t()).sum(0)
            sums2 = (outer * w2).sum(1).unsqueeze(-1), product(w2.t(), total)
            grad = product(w2.t().to(x.dtype), dy).float()
            grad = normalised_backward(
                grad, signal, scale2, g2, sums2, geometry
            )
            grad, da2 = prelu_backward(grad, before2, a2)

            before1 = before1.float()
            signal = F.prelu(before1, a1)
            signal = standardised(signal, mean1, scale1, frames)
            grad, dd = depthwise_backward(
                grad, torch.addcmul(b1, signal, g1), d, geometry
            )
            sums1 = [s.sum(-1, keepdim=True) for s in (grad * signal, grad)]
            grad = normalised_backward(
                grad, signal, scale1, g1, sums1, geometry
            )
            grad, da1 = prelu_backward(grad, before1, a1)
            grad = grad.to(x.dtype)
            dw1 = torch.bmm(grad, x.transpose(1, 2)).float().sum(0)
            dx = product(w1.t().to(x.dtype), grad).add_(dy)
        (dg1, db1), (dg2, db2) = ([s.sum(0) for s in t] for t in (sums1, sums2))
        return dx, None, dw1, da1, dg1, db1, dd, da2, dg2, db2, dw2


def compiled_block(x, geometry, w1, a1, g1, b1, d, a2, g2, b2, w2):
    """The same block for torch.compile, which fuses and keeps as it sees fit.

    Arguments
    ---------
    x : torch.Tensor
        [batch, channel, frame], without frames behind the last one.
    geometry : block_functions.Geometry
        See ``TemporalBlock.forward``, also for the parameters.
    w1, a1, g1, b1, d, a2, g2, b2, w2 : torch.Tensor
        Parameters.

    Returns
    -------
    torch.Tensor
        Like x.
    """
    taps, frames = d.shape[1], x.shape[-1]
    padding = geometry.padding(taps)
    padding = padding, (taps - 1) * geometry.dilation - padding

    def normal(signal, slope, gain, offset):
        signal = F.prelu(signal.float(), slope)
        variance, mean = torch.var_mean(
            signal, geometry.dims, correction=0, keepdim=True
        )
        return (signal - mean) * (variance + EPS).rsqrt() * gain + offset

    signal = normal(torch.matmul(w1.to(x.dtype), x), a1, g1, b1)
    mode = "constant" if geometry.causal else "reflect"
    signal = F.pad(signal, padding, mode=mode)
    starts = range(0, taps * geometry.dilation, geometry.dilation)
    signal = sum(
        signal[..., start : start + frames] * d[:, tap, None]
        for tap, start in enumerate(starts)
    )
    signal = normal(signal.to(x.dtype), a2, g2, b2)
    return x + torch.matmul(w2.to(x.dtype), signal.to(x.dtype))
