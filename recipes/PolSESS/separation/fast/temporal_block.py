"""Temporal block of Conv-TasNet, x + W2 n(p(D n(p(W1 x)))).

W1 and W2 are pointwise convolutions, D is a depthwise one, p is PReLU and n a
normalisation. As in SpeechBrain there are no skip connections.

Y. Luo, N. Mesgarani, "Conv-TasNet: Surpassing ideal time-frequency magnitude
masking for speech separation", TASLP 2019.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from fast.block_functions import (
    buffer,
    moments,
    moments_backward,
    normalise,
    prelu,
    prelu_backward,
    zero_padding,
)
from fast.depthwise import add_depthwise_backward, depthwise, taps_backward
from fast.products import matmul, product, product_in_parts

ALIGNMENT = 16  # frames: 64 bytes in float32, 32 in float16


class TemporalBlock(torch.autograd.Function):
    """Non-causal block with gLN and a hand-written gradient.

    The number of frames is a multiple of ``ALIGNMENT``, so that matrix products
    are aligned. gLN is a factor and a summand for each channel of an item, so
    both fold into the next convolution, and reflection does not change them.
    Only the input and the inputs of the two PReLUs are saved for the gradient.
    Recomputing the rest takes a few percent of the time of the products, which
    are in the precision of autocast. Everything else is in float32.
    """

    @staticmethod
    def forward(
        ctx, x, frames, dilation, keep, w1, a1, g1, b1, d, a2, g2, b2, w2
    ):
        """Computes the block.

        Arguments
        ---------
        ctx : torch.autograd.function.FunctionCtx
            Context of autograd.
        x : torch.Tensor
            [batch, channel, frame], in the dtype of the products, zero after
            the last frame.
        frames : int
            Number of frames without padding.
        dilation : int
            Frames between the taps of the depthwise convolution.
        keep : bool
            Whether the gradient will be computed.
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
            Shape of x.
        """
        shape = len(x), len(w1), x.shape[-1]

        def memory(dtype):
            """Returns a buffer unless the gradient needs the result."""
            like = x.new_empty(0, dtype=dtype)
            return None if keep else buffer("above", shape, like)

        with torch.autocast(x.device.type, enabled=False):
            before1 = product_in_parts(w1.to(x.dtype), x, memory(x.dtype))
            signal = prelu(before1, a1, "active")
            mean1, scale1 = moments(signal, frames)
            factor, summand = _affine(mean1, scale1, g1, b1)
            summand = summand * d.sum(1, keepdim=True)
            taps, out = factor * d, memory(torch.float32)
            before2 = depthwise(signal, frames, dilation, taps, summand, out)
            before2 = before2.to(x.dtype)
            signal = prelu(before2, a2, "active")
            mean2, scale2 = moments(signal, frames)
            weight = (w2 * (g2 * scale2).transpose(1, 2)).to(x.dtype)
            y = product_in_parts(weight, signal.to(x.dtype))
            # The signal's mean goes through the rounded weights, so it is
            # subtracted with them.
            summand = weight.sum(-1, keepdim=True, dtype=torch.float32) * mean2
            summand = w2 @ b2 - summand
            y = y.add_(x).add_(summand.to(x.dtype))
        ctx.frames, ctx.dilation = frames, dilation
        ctx.save_for_backward(
            x, before1, before2, mean1, scale1, mean2, scale2,
            w1, a1, g1, b1, d, a2, g2, b2, w2,
        )  # fmt: skip
        return zero_padding(y, frames)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        """Computes the gradients of the arguments of ``forward``.

        Arguments
        ---------
        ctx : torch.autograd.function.FunctionCtx
            Context of autograd.
        dy : torch.Tensor
            Gradient of the result, zero after the last frame.

        Returns
        -------
        tuple of torch.Tensor
            Gradients in the order of the arguments.
        """
        x, before1, before2, *others = ctx.saved_tensors
        mean1, scale1, mean2, scale2, w1, a1, g1, b1, d, a2, g2, b2, w2 = others
        dtype = x.dtype
        with torch.autocast(x.device.type, enabled=False):
            before2 = before2.float()
            signal = prelu(before2, a2, "active")
            # E[dy (signal - mean)] from E[dy signal]. The longer side comes
            # first, which CPU threads share better.
            outer = matmul(signal.to(dtype), dy.transpose(1, 2)).float()
            outer = outer.transpose(1, 2)
            total = dy.sum(-1, keepdim=True, dtype=torch.float32)
            outer = (outer - total * mean2) * scale2
            dw2 = (outer * g2.t() + total * b2.t()).sum(0)
            dg2 = (outer * w2).sum(1).unsqueeze(-1)
            db2 = product(w2.t(), total)
            memory = buffer("gradient", before2.shape, x)
            weight = (w2.t() * (g2 * scale2)).to(dtype)
            grad = product_in_parts(weight, dy, memory).float()
            factor, summand = moments_backward(
                mean2, scale2, g2, dg2, db2, ctx.frames
            )
            grad = grad.addcmul_(signal, factor).add_(summand)
            grad, da2 = prelu_backward(
                zero_padding(grad, ctx.frames), before2, a2, "above"
            )

            before1 = before1.float()
            signal = prelu(before1, a1, "active")
            total = grad.sum(-1, keepdim=True)
            outer = taps_backward(
                grad, signal, ctx.frames, ctx.dilation, d.shape[1]
            )
            outer = (outer - total * mean1) * scale1
            dd = (g1 * outer + b1 * total).sum(0)
            dg1 = (d * outer).sum(-1, keepdim=True)
            db1 = total * d.sum(1, keepdim=True)
            factor, summand = moments_backward(
                mean1, scale1, g1, dg1, db1, ctx.frames
            )
            others = signal.mul_(factor).add_(summand)
            grad = add_depthwise_backward(
                zero_padding(others, ctx.frames),
                grad,
                d * (g1 * scale1),
                ctx.frames,
                ctx.dilation,
            )
            grad, da1 = prelu_backward(grad, before1, a1, "gradient")
            grad = grad.to(dtype)
            dw1 = matmul(grad, x.transpose(1, 2)).float().sum(0)
            dx = product_in_parts(w1.t().to(dtype), grad).add_(dy)
        dg1, db1, dg2, db2 = (s.sum(0) for s in (dg1, db1, dg2, db2))
        return dx, None, None, None, dw1, da1, dg1, db1, dd, da2, dg2, db2, dw2


def _affine(mean, scale, gain, offset):
    """Returns gLN as factor and summand, [batch, channel, 1]."""
    factor = gain * scale
    return factor, offset - factor * mean


def plain_block(x, geometry, w1, a1, g1, b1, d, a2, g2, b2, w2):
    """Computes a block with autograd's own gradient: cLN and torch.compile.

    Arguments
    ---------
    x : torch.Tensor
        [batch, channel, frame], without padding.
    geometry : tuple
        Dilation, whether the block is causal, and the dimensions to normalise
        over: (1, 2) for gLN, (1,) for cLN.
    w1, a1, g1, b1, d, a2, g2, b2, w2 : torch.Tensor
        See ``TemporalBlock.forward``.

    Returns
    -------
    torch.Tensor
        Shape of x.
    """
    dilation, causal, dims = geometry
    reach = (d.shape[1] - 1) * dilation
    # SpeechBrain pads a causal convolution on the left and then on both sides,
    # and crops the end: the last tap is half the kernel in the past.
    before = reach + reach // 2 if causal else reach // 2

    def normal(signal, slope, gain, offset):
        """Applies PReLU and normalises."""
        signal = F.prelu(signal.float(), slope)
        return normalise(signal, dims, gain, offset)

    signal = normal(product(w1.to(x.dtype), x), a1, g1, b1)
    mode = "constant" if causal else "reflect"
    signal = F.pad(signal, (before, max(0, reach - before)), mode=mode)
    signal = sum(
        signal[..., tap * dilation :][..., : x.shape[-1]] * d[:, tap, None]
        for tap in range(d.shape[1])
    )
    signal = normal(signal.to(x.dtype), a2, g2, b2)
    return x + product(w2.to(x.dtype), signal.to(x.dtype))
