"""Finds where half precision breaks Conv-TasNet, and what cures it.

> python tools/half_precision.py results/half_precision

SpeechBrain's normalisations add an EPS of 1e-8 to a variance in the precision
of their input. The same weights, random and of the published size, run under
autocast as SpeechBrain's own modules, with an EPS of 1e-4 as is customary, with
its normalisations made safe, and as the recipe's network. On a GPU if there is
one, otherwise on the CPU.

Authors
 * The PolSESS recipe team 2026
"""

import functools
import pathlib
import sys

import pandas as pd
import torch
from half_precision_cases import (
    KERNEL,
    SIZES,
    eps_of_speechbrain,
    inputs,
    recording,
    systems,
)
from half_precision_text import to_markdown

SECONDS = {"cuda": 2, "cpu": 1}  # the CPU's float16 is slow
PRECISIONS = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def examine(separator, mixture, speech, dtype):
    """One forward and backward pass under autocast, without scaled loss.

    Arguments
    ---------
    separator : Separator
        Whose gradients are overwritten.
    mixture : torch.Tensor
        [1, time]
    speech : torch.Tensor
        The reference, [1, time].
    dtype : torch.dtype
        Of autocast; float32 for none.

    Returns
    -------
    row : dict
        What was not finite.
    estimate : torch.Tensor
        [1, time, source], float32.
    """
    from losses import si_sdr_loss

    broken = []

    def note(module, arguments, result, name):
        if not result.isfinite().all():
            broken.append(name)

    handles = [
        module.register_forward_hook(functools.partial(note, name=name))
        for name, module in separator.named_modules()
    ]
    separator.zero_grad()
    half = dtype != torch.float32
    with torch.autocast(mixture.device.type, dtype, enabled=half):
        estimate = separator(mixture)
    for handle in handles:
        handle.remove()
    estimate.retain_grad()
    si_sdr_loss(estimate, speech.unsqueeze(-1)).mean().backward()
    finite = torch.cat(
        [p.grad.isfinite().flatten() for p in separator.parameters()]
    )
    row = {
        "output_finite": bool(estimate.isfinite().all()),
        "nan_share": estimate.isnan().float().mean().item(),
        "first_nonfinite": broken[0] if broken else "",
        "loss_gradient_finite": bool(estimate.grad.isfinite().all()),
        "gradients_nonfinite_share": 1 - finite.double().mean().item(),
    }
    return row, estimate.detach().float()


def agreement_db(estimate, expected):
    """Energy of what was expected over that of the difference, in dB.

    NaN where nothing differs, and where the estimate is not finite.
    """
    error = (estimate - expected).double().square().sum()
    if error == 0:
        return float("nan")
    return 10 * torch.log10(expected.double().square().sum() / error).item()


def measure(sizes, mixture, speech, device, kernel=KERNEL):
    """A row for each precision, input and system."""
    rows, expected = [], {}
    found = systems(sizes, kernel)
    for precision, dtype in PRECISIONS.items():
        for name, signal in inputs(mixture).items():
            for system, (separator, eps) in found.items():
                with eps_of_speechbrain(eps):
                    row, estimate = examine(
                        separator.to(device),
                        signal.to(device),
                        speech.to(device),
                        dtype,
                    )
                # The first one: stock modules in float32.
                reference = expected.setdefault(name, estimate)
                key = {"precision": precision, "input": name, "system": system}
                row["agreement_db"] = agreement_db(estimate, reference)
                rows.append({**key, **row})
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def main(output_folder):
    """Measures, and writes README.md and half_precision.csv.

    Arguments
    ---------
    output_folder : str
        For the figures.
    """
    # SpeechBrain allows TF32; float32 is to be float32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = SECONDS[device]
    table = measure(SIZES, *recording(seconds), device)
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    table.insert(0, "device", device)
    table.to_csv(
        output / "half_precision.csv", index=False, float_format="%.6g"
    )
    text = to_markdown(table, device, seconds)
    (output / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
