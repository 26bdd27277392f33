"""Measures how a Brain trains: gradients, waiting for data, items a second.

Authors
 * The PolSESS recipe team 2026
"""

import time

import torch
from reliability.ranks import agreed
from torch.utils.data import DataLoader
from tqdm import tqdm

from speechbrain.dataio.dataloader import LoopedLoader


class Watch:
    """A mix-in that measures the training of an epoch.

    It answers these defects of sb.Brain:

    * The norm of the gradients is computed to clip them, and thrown away; here
      ``Reliable.optimizers_step``, which clips, puts it into gradient_norms.
    * Nothing tells how long the loop waits for data.
    * The progress bar counts batches, so that runs with different batch sizes
      cannot be compared.

    To be placed before sb.Brain. Its hooks are on_fit_batch_start and
    on_fit_batch_end; the Brain calls watch_start in
    on_stage_start and watch_stats in on_stage_end of the training.

    Example
    -------
    >>> import speechbrain as sb
    >>> class MyBrain(Watch, sb.Brain):
    ...     def on_stage_start(self, stage, epoch=None):
    ...         if stage == sb.Stage.TRAIN:
    ...             self.watch_start()
    ...
    ...     def on_stage_end(self, stage, stage_loss, epoch=None):
    ...         if stage == sb.Stage.TRAIN:
    ...             self.train_stats = self.watch_stats()
    """

    # What the progress bar counts.
    watch_unit = "mixture"

    def watch_start(self):
        """Begins an epoch, or what a resume left of it."""
        self.watched_items = 0
        self.waiting_seconds = 0.0
        self.computing_seconds = 0.0
        self.gradient_norms = []
        self.watched_until = time.perf_counter()

    def watch_stats(self):
        """Returns what was measured since watch_start, in this process.

        Returns
        -------
        dict
            waiting_seconds : for data, and for checkpoints within the epoch
            computing_seconds : from having a batch to the end of its step
            nonfinite_gradient_steps : number of optimizer steps
            items_per_second : of all processes; without items it is left out
            gradient_norm : mean of the finite ones, before clipping; without
                any it is left out
            gradient_norm_max : like gradient_norm
        """
        stats = {
            "waiting_seconds": self.waiting_seconds,
            "computing_seconds": self.computing_seconds,
            "nonfinite_gradient_steps": 0,
        }
        items = agreed(self.watched_items, "SUM")
        if items:
            seconds = self.waiting_seconds + self.computing_seconds
            stats["items_per_second"] = items / seconds
        if self.gradient_norms:
            norms = torch.stack(self.gradient_norms).cpu()
            finite = norms[norms.isfinite()]
            stats["nonfinite_gradient_steps"] = len(norms) - len(finite)
            if len(finite):
                stats["gradient_norm"] = finite.mean().item()
                stats["gradient_norm_max"] = finite.max().item()
        return stats

    def on_fit_batch_start(self, batch, should_step):
        """Ends the waiting for this batch."""
        super().on_fit_batch_start(batch, should_step)
        if self.watched_items == 0:
            self.count_items_in_progress_bar(len(batch))
        now = time.perf_counter()
        self.waiting_seconds += now - self.watched_until
        self.watched_until = now

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Ends the computing of this batch."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        if self.device_type == "cuda":
            # Kernels still running are no waiting for data. This costs
            # nothing: Brain waits for them next, to copy the loss.
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.computing_seconds += now - self.watched_until
        self.watched_until = now
        self.watched_items += len(batch)

    def count_items_in_progress_bar(self, batch_size):
        """Makes the bar of the training count items instead of batches."""
        # Brain keeps its bar to itself. A bar that is disabled or closed is
        # not in this set; the only one over a loader is that of the training.
        for bar in tqdm._instances:
            if isinstance(bar.iterable, (DataLoader, LoopedLoader)):
                bar.unit = self.watch_unit
                bar.unit_scale = batch_size
