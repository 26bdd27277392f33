"""A negative max_grad_norm turns training round instead of switching clipping off.

The help of ``--max_grad_norm`` says: enter a negative value to disable.

> python negative_max_grad_norm.py

It exits with 1 where the loss grows, with 0 where it falls.

Authors
 * The PolSESS recipe team 2026
"""

import sys

import torch

import speechbrain as sb


class Brain(sb.Brain):
    """Brings the weights of a linear layer to zero."""

    def compute_forward(self, batch, stage):
        """The output of the layer."""
        return self.modules.model(batch)

    def compute_objectives(self, predictions, batch, stage):
        """The mean square of the output."""
        return predictions.square().mean()


def losses(max_grad_norm):
    """Loss of the same batch before and after ten steps."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1, bias=False)
    brain = Brain(
        modules={"model": model},
        opt_class=lambda parameters: torch.optim.SGD(parameters, lr=0.05),
        run_opts={"device": "cpu", "max_grad_norm": max_grad_norm},
    )
    batch = torch.eye(4)
    before = model(batch).square().mean().item()
    brain.fit(range(1), [batch] * 10, progressbar=False)
    return before, model(batch).square().mean().item()


if __name__ == "__main__":
    results = {norm: losses(norm) for norm in (5.0, -1.0)}
    for norm, (before, after) in results.items():
        print(f"max_grad_norm {norm}: loss {before:.3f} -> {after:.3f}")
    before, after = results[-1.0]
    sys.exit(after > before)
