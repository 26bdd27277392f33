"""Writes a network as an ONNX file, and checks what it computes.

Authors
 * The PolSESS recipe team 2026
"""

import torch

OPSET = 18
TOLERANCE = 1e-4
LENGTHS = (8000, 12345, 31999)  # samples


def write_onnx(separator, path):
    """Writes a file whose batch size and length are free, and checks it.

    Raises ImportError that names what to install without onnxscript and
    onnxruntime, ValueError where ONNX Runtime computes something else.

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
        # The optimiser of onnxscript takes an EPS of 1e-8 for zero, and leaves
        # it out: digital silence would become NaN.
        optimize=False,
        verbose=False,
    )
    # One file; external data would be a second one beside it.
    program.save(str(path), external_data=False)
    check_onnx(separator, path)


def check_onnx(separator, path):
    """Compares a file with the network at several lengths.

    Raises ValueError where they differ.

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
                f"{path}: expected what the network computes, found a relative "
                f"error of {error:.2g} at {length} samples"
            )
