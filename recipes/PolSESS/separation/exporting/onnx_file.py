"""Writes a network as an ONNX file, and compares both.

Authors
 * The PolSESS recipe team 2026
"""

from unittest.mock import patch

import torch
from inference.offset import WithoutMean

OPSET = 18
TOLERANCE = 1e-4  # relative to the largest sample
LENGTHS = (8000, 12345, 31999)  # samples
FIXED_SECONDS = 4  # as the crops of a training


def onnx_length(model):
    """Tells which lengths the ONNX file of a model takes.

    Raises ValueError with the reason when the network has no ONNX file.

    Arguments
    ---------
    model : trained.Trained
        Model of a run.

    Returns
    -------
    int
        Samples; None for any length.
    """
    form = model.network.onnx
    if form not in ("free", "fixed"):
        raise ValueError(f"--onnx: not for {model.network.name}: {form}")
    return None if form == "free" else FIXED_SECONDS * model.sample_rate


def write_onnx(separator, path, length=None):
    """Writes a file with free batch size, and checks it.

    Raises ImportError when a package is missing, ValueError when ONNX Runtime
    computes something else.

    Arguments
    ---------
    separator : torch.nn.Module
        [batch, time] -> [batch, time, source], on the CPU.
    path : Path
        The file.
    length : int
        Samples of each mixture; None for any length.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "ONNX needs: pip install onnx onnxscript onnxruntime"
        ) from error
    free = torch.export.Dim.DYNAMIC
    dimensions = {0: free, 1: free} if length is None else {0: free}
    with patch.object(torch.nn.GroupNorm, "forward", _group_norm):
        program = torch.onnx.export(
            torch.nn.Sequential(WithoutMean(), separator.eval()),
            (torch.randn(2, length or LENGTHS[0]),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["mixture"],
            output_names=["estimates"],
            dynamic_shapes=[dimensions],
            # The optimizer of onnxscript drops an EPS of 1e-8 as if it were
            # zero: digital silence would become NaN.
            optimize=False,
            verbose=False,
        )
    program.save(str(path), external_data=False)
    check_onnx(separator, path, LENGTHS if length is None else [length])


def _group_norm(norm, x):
    """The forward pass of GroupNorm, averaging one dimension at a time.

    ONNX Runtime adds up all samples of a group at one go in float32: for a
    mixture of 20 s the relative error was 1e-3.
    """
    y = x.unflatten(1, (norm.num_groups, -1))
    y = y - _mean(y)
    y = (y * torch.rsqrt(_mean(y.square()) + norm.eps)).flatten(1, 2)
    shape = -1, *(1,) * (x.dim() - 2)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def _mean(y):
    """Mean over all dimensions after the first two."""
    for dimension in range(2, y.dim()):
        y = y.mean(dimension, keepdim=True)
    return y


def check_onnx(separator, path, lengths=LENGTHS):
    """Raises ValueError when an ONNX file differs from the network.

    Arguments
    ---------
    separator : torch.nn.Module
        [batch, time] -> [batch, time, source], on the CPU.
    path : Path
        The file.
    lengths : sequence of int
        Lengths of the mixtures that are compared, in samples.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(0)
    for length in lengths:
        mixture = 0.1 * torch.randn(2, length, generator=generator) + 0.05
        mixture[0, length // 4 : length // 2] = 0
        mixture[1] = 0  # silence has no variance
        with torch.no_grad():
            expected = separator(WithoutMean()(mixture))
        found = session.run(None, {"mixture": mixture.numpy()})[0]
        error = (torch.from_numpy(found) - expected).abs().max()
        error = (error / expected.abs().max().clamp_min(1e-9)).item()
        if not error <= TOLERANCE:
            raise ValueError(
                f"{path}: expected the output of the network, found a relative "
                f"error of {error:.2g} at {length} samples"
            )
