"""Writes a network as an ONNX file, and compares both.

Authors
 * The PolSESS recipe team 2026
"""

import torch

OPSET = 18
TOLERANCE = 1e-4  # relative to the largest sample
LENGTHS = (8000, 12345, 31999)  # samples


def write_onnx(separator, path):
    """Writes a file with free batch size and length, and checks it.

    Raises ImportError when a package is missing, ValueError when ONNX Runtime
    computes something else.

    Arguments
    ---------
    separator : separator.Separator
        On the CPU.
    path : Path
        The file.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "ONNX needs: pip install onnx onnxscript onnxruntime"
        ) from error
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        separator.eval(),
        (torch.randn(2, LENGTHS[0]),),
        dynamo=True,
        opset_version=OPSET,
        input_names=["mixture"],
        output_names=["estimates"],
        dynamic_shapes={"mixture": {0: free, 1: free}},
        # The optimizer of onnxscript drops an EPS of 1e-8 as if it were zero:
        # digital silence would become NaN.
        optimize=False,
        verbose=False,
    )
    program.save(str(path), external_data=False)
    check_onnx(separator, path)


def check_onnx(separator, path):
    """Raises ValueError when an ONNX file differs from the network.

    Arguments
    ---------
    separator : separator.Separator
        On the CPU.
    path : Path
        The file.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(0)
    for length in LENGTHS:
        mixture = 0.1 * torch.randn(1, length, generator=generator)
        mixture[:, length // 4 : length // 2] = 0  # silence has no variance
        with torch.no_grad():
            expected = separator(mixture)
        found = session.run(None, {"mixture": mixture.numpy()})[0]
        error = (torch.from_numpy(found) - expected).abs().max()
        error = (error / expected.abs().max().clamp_min(1e-9)).item()
        if not error <= TOLERANCE:
            raise ValueError(
                f"{path}: expected the output of the network, found a relative "
                f"error of {error:.2g} at {length} samples"
            )
