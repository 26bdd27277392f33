"""The products of matrices of Conv-TasNet: its pointwise convolutions.

Authors
 * The PolSESS recipe team 2026
"""

import torch

# On x86, oneDNN has fast products in bfloat16 from AVX-512 on; without them torch
# computes one by one. In float16 only the latest CPUs have them.
BF16_IS_EMULATED = not torch.backends.cpu.get_cpu_capability().startswith(
    "AVX512"
)

PART_FRAMES = 1008  # a multiple of 16, so that parts are aligned too


def product(weight, signal, out=None):
    """A pointwise convolution: [out, in] or [batch, out, in] and a signal."""
    # torch.matmul would transpose the signal, and copy it.
    return matrices(weight.expand(len(signal), -1, -1), signal, out)


def product_in_parts(weight, signal, out=None):
    """``product`` without a gradient; on a CPU some frames at a time."""
    # What a part reads and writes stays in the cache: a few percent faster.
    if signal.device.type != "cpu" or signal.shape[-1] <= PART_FRAMES:
        return product(weight, signal, out)
    if out is None:
        shape = len(signal), weight.shape[-2], signal.shape[-1]
        out = signal.new_empty(shape)
    parts = zip(signal.split(PART_FRAMES, -1), out.split(PART_FRAMES, -1))
    for part, result in parts:
        product(weight, part, result)
    return out


def matrices(first, second, out=None):
    """Products of matrices of one precision.

    On a CPU that has no instructions for 16 bits, torch takes 10 to 50 times as
    long for them as for float32. There factors are converted, which is exact, and
    results rounded, as instructions for 16 bits do. Where autograd keeps the
    factors, it keeps the converted ones, of twice the size.

    Arguments
    ---------
    first, second : torch.Tensor
        [batch, n, m] and [batch, m, k].
    out : torch.Tensor
        Where to write; None for new memory.

    Returns
    -------
    torch.Tensor
        [batch, n, k], in the precision of the factors.

    Example
    -------
    >>> row = torch.full((1, 1, 3), 1.0, dtype=torch.bfloat16)
    >>> column = torch.tensor([[[256.0], [1.0], [1.0]]], dtype=torch.bfloat16)
    >>> matrices(row, column).item()
    258.0
    """
    is_emulated = first.device.type == "cpu" and (
        first.dtype == torch.float16
        or first.dtype == torch.bfloat16
        and BF16_IS_EMULATED
    )
    if not is_emulated:
        return torch.bmm(first, second, out=out)
    result = torch.bmm(first.float(), second.float())
    return result.to(first.dtype) if out is None else out.copy_(result)
