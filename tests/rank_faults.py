"""Runs train.py as one of several processes, and lets some of them fail.

> torchrun --nproc_per_node=2 rank_faults.py ASKED [train.py's arguments]

ASKED is JSON with ``faults``, each one of faults.py after the rank that it
belongs to; ``trace``, a file to whose name each process adds its rank; and
``random``, whether the model draws random numbers.

Authors
 * The PolSESS recipe team 2026
"""

import json
import os
import sys

from fault_actions import state_digest
from faults import add_randomness, install, leave_out_the_report, run_train

import speechbrain as sb


def add_rank_trace(path):
    """Lets Brains write what has to agree between processes.

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
    """Makes a class write its losses, its validations and what it tests."""
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


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    rank = int(os.environ.get("RANK", 0))
    faults = [fault[1:] for fault in asked["faults"] if fault[0] == rank]
    trace = f"{asked['trace']}.{rank}"
    install(faults, trace)
    add_rank_trace(trace)
    if asked["random"]:
        add_randomness()
    leave_out_the_report()
    run_train(sys.argv[2:])
