"""Configurations of the complete matrix of kills, and what a resume repeats."""

import json
from pathlib import Path

from run_folders import digest

# 7 mixtures in each of 2 epochs: windows of 1, or one of 5 and one of 2. Windows
# of 1 are saved three at a time, others one by one.
WINDOWS = (1, 5)
UNSAVED = 5  # batches that a kill may cost
COUNTS = {"train": (5, 2), "val": (2, 1), "test": (2, 1)}
CURRICULUM = "[{epoch: 1, variants: [R, S]}, {epoch: 2, variants: [SER, SE]}]"
KINDS = {
    "plain": ((), ()),
    "curriculum": ((f"--curriculum={CURRICULUM}",), ()),
    "augmentation": ((), (("set_output_keys", 0, "augment"),)),
}
# Workers that live as long as the training; loaders otherwise start others for
# each epoch.
PERSISTENT = "{persistent_workers: True}"
LOADERS = {
    "no_workers": (0, ()),
    "workers": (2, ()),
    "persistent": (
        2,
        (
            f"--train_loader_kwargs={PERSISTENT}",
            f"--eval_loader_kwargs={PERSISTENT}",
        ),
    ),
}
# What happens -> where a kill comes, for windows of 1 and of 5.
PLACES = {
    "first_step": {1: [("fit_batch", 1)], 5: [("fit_batch", 1)]},
    "mid_window": {1: [("fit_batch", 6)], 5: [("fit_batch", 3)]},
    "window_end": {1: [("optimizers_step", 3)], 5: [("optimizers_step", 1)]},
    "checkpoint": {1: [("write_checksums", 2)], 5: [("write_checksums", 1)]},
    "last_step": {1: [("optimizers_step", 7)], 5: [("optimizers_step", 2)]},
    "validation": {1: [("evaluate_batch", 2)], 5: [("evaluate_batch", 2)]},
    "between_epochs": {
        1: [("start_of_training", 2)],
        5: [("start_of_training", 2)],
    },
    "test": {1: [("evaluate_batch", 8)], 5: [("evaluate_batch", 8)]},
    "twice": {
        1: [("write_checksums", 2), ("fit_batch", 9)],
        5: [("fit_batch", 7), ("delete_checkpoints", 3)],
    },
}


class Runs:
    """Runs of one configuration on one corpus."""

    def __init__(self, server, corpus, window, kind, loader="no_workers"):
        self.server = server
        options, self.flags = KINDS[kind]
        self.workers, of_loader = LOADERS[loader]
        self.options = (
            f"--data_folder={corpus}",
            f"--grad_accumulation_factor={window}",
            f"--ckpt_interval_steps={3 if window == 1 else 1}",
            *options,
            *of_loader,
        )

    def run(self, folder, *options, faults=()):
        """Runs with faults; see ``fault_runs.Server.run``."""
        return self.server.run(
            folder,
            *self.options,
            *options,
            faults=[*self.flags, *faults],
            workers=self.workers,
        )

    def kill(self, folder, place, number):
        """Runs until the kill; returns what the trace has then."""
        faults = [(place, number, "SIGKILL")]
        code, _, output = self.run(folder, faults=faults)
        assert code == -9, output[-3000:]
        return lines(folder)

    def succeed(self, folder, *options):
        """Runs to the end."""
        code, _, output = self.run(folder, *options)
        assert code == 0, output[-3000:]
        return folder


def lines(folder):
    """The trace of a folder's runs."""
    path = Path(f"{folder}.trace")
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def same_result(folder, whole):
    """The same weights and optimizer, and the same scores."""
    scores = [(run / "test_scores.csv").read_bytes() for run in (folder, whole)]
    return digest(folder) == digest(whole) and scores[0] == scores[1]


def lines_saved(folder, whole):
    """How many lines of the undisturbed trace the newest checkpoint holds.

    It is known by its weights, whatever it says of itself. The line of a step
    comes before that of the batch that made it.
    """
    if not list((folder / "save").glob("CKPT+*")):
        return 0
    saved = digest(folder)
    (line,) = [n for n, step in enumerate(whole) if step.get("after") == saved]
    return line + 2


def batches_repeated(killed, saved):
    """How many batches of a killed run its newest checkpoint lacks."""
    return sum("batch" in line for line in killed[saved:])
