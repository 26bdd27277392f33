"""Lets something go wrong in a run of train.py.

A fault is a list of PLACE, NUMBER and ACTION. PLACE is a key of OWNERS or of STAGES,
or the name of a method of the Brain; a name that does not exist is an error. Before
its NUMBER-th call (0: before each) the ACTION happens:

* the name of a signal, which the process gets; ``group:`` before it, which the
  process and its data loader's workers get; ``torchrun:``, which torchrun gets
* one of actions.py, or one of broken_files.py, ``=`` and a path

A PLACE whose first word is ``write`` is one of writes.py, and ``stock`` puts
SpeechBrain's own checkpointer in the place of the recipe's.
"""

import importlib
import json
import random

import numpy as np
import scoring
import separator
import slow_metrics
import torch
from checkpoints import checkpointer
from reporting import hooks

import speechbrain as sb
from faults import writes
from faults.actions import state_digest, with_fault
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.train_logger import TrainLogger

# Where the places are that are not methods of the Brain.
OWNERS = {
    "write_checksums": checkpointer,
    "fsync_path": checkpointer,
    "delete_checkpoints": checkpointer.SafeCheckpointer,
    "set_output_keys": DynamicItemDataset,
}
# Places whose calls are counted in one stage alone.
STAGES = {
    "start_of_training": ("on_stage_start", sb.Stage.TRAIN),
    "end_of_validation": ("on_stage_end", sb.Stage.VALID),
}


def install(faults, strike, trace=None):
    """Makes faults happen.

    ``strike`` gets each just before it happens; ``trace`` is a file for what a
    Brain does, and for the writes if they are watched.
    """
    of_writes = [f for f in faults if f[0].partition(" ")[0] == "write"]
    if of_writes:
        writes.watch(of_writes, strike, trace)
    of_brain = []
    for fault in [fault for fault in faults if fault not in of_writes]:
        if fault[0] == "stock":
            checkpointer.SafeCheckpointer = Checkpointer
            strike(fault)
        elif fault[0] in OWNERS:
            put(OWNERS[fault[0]], fault, strike)
        else:
            of_brain.append(fault)
    init = sb.Brain.__init__

    def install_and_init(brain, *arguments, **keywords):
        """Changes the most derived class, whose methods all calls go to."""
        for fault in of_brain:
            put(type(brain), fault, strike)
        if trace:
            add_trace(type(brain), trace)
        init(brain, *arguments, **keywords)

    sb.Brain.__init__ = install_and_init


def put(owner, fault, strike):
    place, number, action = fault
    name, of_stage = STAGES.get(place, (place, None))
    method = getattr(owner, name)
    faulty = with_fault(method, int(number), action, lambda: strike(fault))

    def at_stage(brain, stage, *arguments, **keywords):
        chosen = faulty if stage == of_stage else method
        return chosen(brain, stage, *arguments, **keywords)

    setattr(owner, name, faulty if of_stage is None else at_stage)


def add_trace(owner, path):
    fit_batch, step = owner.fit_batch, owner.optimizers_step
    end, start = owner.on_stage_end, owner.on_evaluate_start

    def write(line):
        """Appends it at once: a kill may be next."""
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def digest_of(brain):
        weights = brain.modules.state_dict()
        return state_digest(weights, brain.optimizer.state_dict())

    def traced_batch(brain, batch):
        loss = fit_batch(brain, batch)
        epoch = brain.hparams.epoch_counter.current
        names = [epoch, brain.step, *batch.mixture_id, *batch.variant]
        write({"batch": names, "loss": loss.item()})
        return loss

    def traced_step(brain):
        before = digest_of(brain)
        step(brain)
        write({"before": before, "after": digest_of(brain)})

    def traced_end(brain, stage, *arguments, **keywords):
        items = [[row["ID"], row["variant"]] for row in brain.valid_rows]
        end(brain, stage, *arguments, **keywords)
        if stage == sb.Stage.VALID:
            rate = brain.optimizer.param_groups[0]["lr"]
            followed = [*brain.hparams.lr_scheduler.losses, rate]
            write({"validated": items, "followed": followed})

    def traced_start(brain, *arguments, **keywords):
        start(brain, *arguments, **keywords)
        weights = brain.modules.state_dict()
        write({"tested": state_digest(weights, {"state": {}})})

    owner.fit_batch, owner.optimizers_step = traced_batch, traced_step
    owner.on_stage_end, owner.on_evaluate_start = traced_end, traced_start


def add_randomness():
    """Lets the model draw from three generators in training."""
    init = separator.Separator.__init__

    def randomised(masknet, _, masks):
        if not masknet.training:
            return masks
        scale = 1 + 0.1 * random.random() + 0.1 * np.random.rand()
        return scale * torch.nn.functional.dropout(masks, 0.2)

    def random_init(network, *arguments, **keywords):
        init(network, *arguments, **keywords)
        network.masknet.register_forward_hook(randomised)

    separator.Separator.__init__ = random_init


class SilentLogger(TrainLogger):
    """A logger that makes no folder and writes nothing."""

    def __init__(self, save_dir):
        pass

    def log_stats(self, *stats, **more_stats):
        pass


def leave_out_the_report():
    """Spares runs what takes their time and has no part in faults."""
    assert hooks.Reporting.on_stage_end
    hooks.Reporting = type("Reporting", (), {})
    # It writes when it likes, which no trace of writes can be compared with.
    loggers = importlib.import_module(TrainLogger.__module__)
    assert loggers.TensorboardLogger
    loggers.TensorboardLogger = SilentLogger
    sb.utils.logger.get_environment_description = lambda: ""


def add_slow_metrics():
    """Lets scoring processes know them, too."""
    slow_metrics.add()
    assert scoring.score_signal
    scoring.score_signal = slow_metrics.score_signal
