"""Measures an epoch of training: waiting, computing, items per second.

Authors
 * The PolSESS recipe team 2026
"""

import time

import torch
from runs.ranks import all_reduce

import speechbrain as sb


class Throughput:
    """A mixin for sb.Brain that adds times to ``train_stats``.

    Place it before the Brain, whose on_stage_end makes ``train_stats``. Added
    at the end of the training of an epoch, or of what a resume left of it:

    * waiting_seconds: waiting for data, and for checkpoints within the epoch
    * computing_seconds: from the arrival of batches to the end of their steps
    * items_per_second: of all ranks; left out without items
    """

    def on_stage_start(self, stage, epoch=None):
        """Begins to measure an epoch."""
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            self.trained_items = 0
            self.waiting_seconds = 0.0
            self.computing_seconds = 0.0
            self.measured_until = time.perf_counter()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Adds the measurements of an epoch to train_stats."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage != sb.Stage.TRAIN:
            return
        seconds = self.waiting_seconds + self.computing_seconds
        self.train_stats["waiting_seconds"] = self.waiting_seconds
        self.train_stats["computing_seconds"] = self.computing_seconds
        items = all_reduce(self.trained_items, "SUM")
        if items and seconds:
            self.train_stats["items_per_second"] = items / seconds

    def on_fit_batch_start(self, batch, should_step):
        """Ends the waiting for this batch."""
        super().on_fit_batch_start(batch, should_step)
        self.waiting_seconds += self._seconds_since_last()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Ends the computing of this batch."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        if self.device_type == "cuda":
            # Running kernels are computing, not waiting. This costs nothing:
            # Brain synchronises next, to copy the loss.
            torch.cuda.synchronize()
        self.computing_seconds += self._seconds_since_last()
        self.trained_items += len(batch)

    def _seconds_since_last(self):
        now = time.perf_counter()
        seconds = now - self.measured_until
        self.measured_until = now
        return seconds
