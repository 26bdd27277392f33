"""Matrix products of Conv-TasNet: its pointwise convolutions.

Authors
 * The PolSESS recipe team 2026
"""

import torch

# On x86, oneDNN multiplies bfloat16 matrices fast from AVX-512 on; elsewhere
# torch uses a slow loop. For float16 only the latest CPUs have instructions.
BF16_IS_EMULATED = not torch.backends.cpu.get_cpu_capability().startswith(
    "AVX512"
)

PART_FRAMES = 1008  # a multiple of 16, so that parts are aligned too


def product(weight, signal, out=None):
    """Multiplies [out, in] or [batch, out, in] with [batch, in, frame]."""
    # torch.matmul would copy the transposed signal.
    return matmul(weight.expand(len(signal), -1, -1), signal, out)


def product_in_parts(weight, signal, out=None):
    """Computes ``product`` without a gradient, on a CPU in parts of frames."""
    # A part stays in the cache: a few percent faster.
    if signal.device.type != "cpu" or signal.shape[-1] <= PART_FRAMES:
        return product(weight, signal, out)
    if out is None:
        shape = len(signal), weight.shape[-2], signal.shape[-1]
        out = signal.new_empty(shape)
    parts = zip(signal.split(PART_FRAMES, -1), out.split(PART_FRAMES, -1))
    for part, result in parts:
        product(weight, part, result)
    return out


def matmul(first, second, out=None):
    """Multiplies batches of matrices of one dtype, 16 bits without emulation.

    Without 16-bit instructions torch takes 10 to 50 times as long as in
    float32. There the factors are converted to float32, which is exact, and the
    result is rounded, as the instructions do. Autograd then saves the converted
    factors, which are twice as large.

    Arguments
    ---------
    first, second : torch.Tensor
        [batch, n, m] and [batch, m, k].
    out : torch.Tensor
        Tensor for the result; None allocates.

    Returns
    -------
    torch.Tensor
        [batch, n, k], in the dtype of the factors.

    Example
    -------
    >>> row = torch.full((1, 1, 3), 1.0, dtype=torch.bfloat16)
    >>> column = torch.tensor([[[256.0], [1.0], [1.0]]], dtype=torch.bfloat16)
    >>> matmul(row, column).item()
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
