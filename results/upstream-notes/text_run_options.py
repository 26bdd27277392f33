"""Run options without a default reach Brain as text, and end the first epoch.

> python text_run_options.py

It exits with 1 where --optimizer_step_limit is text, with 0 otherwise.

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


def train(*arguments):
    """Trains with options of a command line; returns the steps, or the error.

    Arguments
    ---------
    *arguments : str
        Options as they are typed.

    Returns
    -------
    int or TypeError
        Number of optimizer steps, or what ended the training.
    """
    _, run_opts, _ = sb.parse_arguments(["x.yaml", "--device=cpu", *arguments])
    brain = Brain(
        modules={"model": torch.nn.Linear(4, 1)},
        opt_class=lambda parameters: torch.optim.SGD(parameters, lr=0.05),
        run_opts=run_opts,
    )
    try:
        brain.fit(range(1), [torch.eye(4)] * 3, progressbar=False)
    except TypeError as error:
        return error
    return brain.optimizer_step


if __name__ == "__main__":
    found = train("--optimizer_step_limit=1")
    print(f"--optimizer_step_limit=1: {found}")
    _, abbreviated, _ = sb.parse_arguments(["x.yaml", "--precis=bf16"])
    is_used = "precision" in abbreviated.overridden_args
    print(f"--precis=bf16: parsed as {abbreviated.precision}, used: {is_used}")
    sys.exit(found != 1)
