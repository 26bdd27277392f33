"""What the processes of one run write about themselves, to be compared.

Authors
 * The PolSESS recipe team 2026
"""

import json

import speechbrain as sb
from faults.actions import state_digest


def add_rank_trace(path):
    """Lets Brains write their losses, their validations and what they test.

    Arguments
    ---------
    path : str
        A file of this process.
    """
    init = sb.Brain.__init__

    def traced_init(brain, *arguments, **keywords):
        """Changes the most derived class, whose methods all calls go to."""
        change(type(brain), path)
        init(brain, *arguments, **keywords)

    sb.Brain.__init__ = traced_init


def change(owner, path):
    """Puts a line for the trace around methods of a class."""
    fit_batch, start = owner.fit_batch, owner.on_evaluate_start
    end = owner.on_stage_end

    def write(line):
        """Appends it at once."""
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def traced_batch(brain, batch):
        """Writes the loss of this process."""
        loss = fit_batch(brain, batch)
        write({"loss": loss.item()})
        return loss

    def traced_end(brain, stage, *arguments, **keywords):
        """Writes what this process validated, and what followed from all."""
        items = [[row["ID"], row["variant"]] for row in brain.valid_rows]
        end(brain, stage, *arguments, **keywords)
        if stage != sb.Stage.VALID:
            return
        metrics = brain.hparams.lr_scheduler.losses
        lr = brain.optimizer.param_groups[0]["lr"]
        write({"validated": items, "followed": [*metrics, lr]})

    def traced_start(brain, *arguments, **keywords):
        """Writes the model that is tested."""
        start(brain, *arguments, **keywords)
        weights = brain.modules.state_dict()
        write({"tested": state_digest(weights, {"state": {}})})

    owner.fit_batch, owner.on_evaluate_start = traced_batch, traced_start
    owner.on_stage_end = traced_end
