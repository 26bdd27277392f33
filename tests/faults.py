"""Runs train.py and lets something go wrong in it, for the fault tests.

> python faults.py PLACE NUMBER ACTION [train.py's arguments]
> python faults.py serve

PLACE is a key of OWNERS, or the name of a method of the Brain; a name that does
not exist is an error. ``end_of_validation`` is the on_stage_end of a validation.
Before its NUMBER-th call (0: before each) the ACTION happens:

* the name of a signal, which the process gets; ``group:`` before it, which the
  process and its data loader's workers get; ``twice:``, two of them
* ``nan`` or ``inf``, which one number of one gradient becomes
* ``nan_loss``, which the loss of this batch becomes
* ``nothing``, which is done instead of the method
* one of those of pipeline_faults.py
* another one of fault_actions.py, or one of broken_files.py, ``=`` and a path

A PLACE whose first word is ``write`` is one of write_faults.py, and ``stock`` puts
SpeechBrain's own checkpointer in the place of the recipe's.

``serve`` reads one run per line from its input, as JSON: ``faults``, a list of
the above, ``arguments``, and the files ``output`` and ``trace``; answers with
its exit code and its number. A run is a fork of this process, which spares it
the seconds of importing, in a session and group of its own, and writes no
report. Its model has dropout, and draws from Python's and numpy's generators.

Authors
 * The PolSESS recipe team 2026
"""

import importlib
import json
import os
import random
import runpy
import signal
import sys

import numpy as np
import scoring
import separator
import slow_metrics
import torch
import write_faults
from checkpoints import checkpointer
from fault_actions import digest_of, with_fault
from recipe import SEPARATION
from reporting import hooks

import speechbrain as sb
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.train_logger import TrainLogger

# A run that takes longer hangs, and is killed.
LIMIT_SECONDS = 60
# Where the places are that are not methods of the Brain.
OWNERS = {
    "_publish": checkpointer,
    "write_checksums": checkpointer,
    "fsync_path": checkpointer,
    "add_recoverable": checkpointer.SafeCheckpointer,
    "delete_checkpoints": checkpointer.SafeCheckpointer,
    "set_aside_broken": checkpointer.SafeCheckpointer,
    "set_output_keys": DynamicItemDataset,
}


def is_write(place):
    """Whether a place is one of write_faults.py."""
    return place.partition(" ")[0] == "write"


def install(faults, trace=None):
    """Makes faults happen.

    Arguments
    ---------
    faults : list of tuple
        place, number, action.
    trace : str
        A file for the steps that a Brain makes, if any.
    """
    of_brain = []
    if any(is_write(place) for place, _, _ in faults):
        write_faults.watch(faults, trace)
    for place, number, action in faults:
        if is_write(place):
            continue
        if place == "stock":
            checkpointer.SafeCheckpointer = Checkpointer
        elif place in OWNERS:
            owner = OWNERS[place]
            method = getattr(owner, place)
            setattr(owner, place, with_fault(method, int(number), action))
        else:
            of_brain.append((place, int(number), action))
    init = sb.Brain.__init__

    def install_and_init(brain, *arguments, **keywords):
        """Changes the most derived class, whose methods all calls go to."""
        owner = type(brain)
        for place, number, action in of_brain:
            if place == "end_of_validation":
                end = at_validation(owner.on_stage_end, number, action)
                owner.on_stage_end = end
            else:
                method = getattr(owner, place)
                setattr(owner, place, with_fault(method, number, action))
        if trace:
            add_trace(owner, trace)
        init(brain, *arguments, **keywords)

    sb.Brain.__init__ = install_and_init


def at_validation(method, number, action):
    """An on_stage_end with a fault before its number-th validation."""
    faulty = with_fault(method, number, action)

    def end(brain, stage, *arguments, **keywords):
        """Counts validations alone."""
        chosen = faulty if stage == sb.Stage.VALID else method
        return chosen(brain, stage, *arguments, **keywords)

    return end


def add_trace(owner, path):
    """Lets a class write a line for each batch and each step it has made."""

    def write(line):
        """Appends it at once: a kill may be next."""
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    fit_batch, step = owner.fit_batch, owner.optimizers_step

    def traced_batch(brain, batch):
        """Writes the step and the mixtures."""
        done = fit_batch(brain, batch)
        epoch = brain.hparams.epoch_counter.current
        write({"batch": [epoch, brain.step, *batch.mixture_id, *batch.variant]})
        return done

    def traced_step(brain):
        """Writes the state before and after."""
        before = digest_of(brain)
        step(brain)
        write({"before": before, "after": digest_of(brain)})

    owner.fit_batch, owner.optimizers_step = traced_batch, traced_step


def add_randomness():
    """Lets the model draw from three generators in training."""
    init = separator.Separator.__init__

    def random_init(network, *arguments, **keywords):
        """Whatever the class of the mask network is."""
        init(network, *arguments, **keywords)
        network.masknet.register_forward_hook(randomised)

    separator.Separator.__init__ = random_init


def randomised(masknet, _, masks):
    """Drops and scales masks."""
    if not masknet.training:
        return masks
    scale = 1 + 0.1 * random.random() + 0.1 * np.random.rand()
    return scale * torch.nn.functional.dropout(masks, 0.2)


class SilentLogger(TrainLogger):
    """A logger that writes nothing."""

    def __init__(self, save_dir):
        """Makes no folder."""

    def log_stats(self, *stats, **more_stats):
        """Does nothing."""


def leave_out_the_report():
    """Spares runs what takes their time and has no part in faults."""
    assert hooks.Reporting.on_stage_end
    hooks.Reporting = type("Reporting", (), {})
    # It writes when it likes, which no trace of writes can be compared with.
    loggers = importlib.import_module(TrainLogger.__module__)
    assert loggers.TensorboardLogger
    loggers.TensorboardLogger = SilentLogger
    sb.utils.logger.get_environment_description = lambda: ""


def run_train(arguments):
    """Runs train.py in this process."""
    os.chdir(SEPARATION)
    sys.argv = ["train.py", *arguments]
    runpy.run_path("train.py", run_name="__main__")


def serve():
    """Runs what its input asks for, one after the other."""
    runpy.run_path(str(SEPARATION / "train.py"), run_name="imported")
    # The first optimizer of each run would import it, in most of its time.
    importlib.import_module("torch._dynamo")
    add_randomness()
    # Its workers then know the slow metrics, too.
    slow_metrics.add()
    scoring.score_signal = slow_metrics.score_signal
    leave_out_the_report()
    for line in sys.stdin:
        asked = json.loads(line)
        process = os.fork()
        if process == 0:
            os.setsid()
            signal.alarm(LIMIT_SECONDS)
            inputs = os.open(os.devnull, os.O_RDONLY)
            output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT, 0o644)
            for number, descriptor in enumerate((inputs, output, output)):
                os.dup2(descriptor, number)
            install(asked["faults"], asked["trace"])
            run_train(asked["arguments"])
            return
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "process": process}), flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(SEPARATION), str(SEPARATION.parent)]
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        install([tuple(sys.argv[1:4])])
        run_train(sys.argv[4:])
