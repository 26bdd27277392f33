"""A mixin that schedules the learning rate and averages weights.

Authors
 * The PolSESS recipe team 2026
"""

import math
import shutil
from pathlib import Path

from checkpoints.weights import AVERAGED, parts_of

import speechbrain as sb
from optimization.averaging import MovingAverage, load_mean, save_mean
from optimization.schedule import check_schedule
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class Optimization:
    """A mixin for sb.Brain; place it after ``Reliable``; it needs a checkpointer.

    It applies these keys of the YAML, and raises ValueError for bad values:

    * lr_schedule, warmup_steps: see ``schedule``. The object lr_scheduler gets
      the number of each step before the step is made.
    * ema_decay: see ``averaging``. Each step that is made updates the moving
      average. The network has it in validation and while the checkpoint of the
      epoch is saved, so that the best checkpoint holds the validated weights.
      Checkpoints within an epoch hold the trained weights.
    * average_best: so many best checkpoints are kept. The mean of their weights
      is tested, and written into the folder ``averaged`` beside them, from
      where other commands take it. The next training removes it.

    Arguments
    ---------
    modules, opt_class, hparams, run_opts, checkpointer
        See sb.Brain.
    """

    def __init__(
        self,
        modules=None,
        opt_class=None,
        hparams=None,
        run_opts=None,
        checkpointer=None,
    ):
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        check_schedule(self.hparams.lr_schedule, self.hparams.warmup_steps)
        number = self.hparams.average_best
        if type(number) is not int or number < 1:
            raise ValueError(
                "average_best: expected a number of checkpoints, 1 for the "
                f"best alone, found {number!r}"
            )
        self.ema = MovingAverage(self.hparams.separator, self.hparams.ema_decay)
        self.checkpointer.keep_best = number
        folder = Path(self.checkpointer.checkpoints_dir)
        self.averaged_folder = folder / AVERAGED

    def on_fit_start(self):
        """Recovers; begins schedule and average, or goes on with them."""
        if self.ema.decay:
            # It may be switched on at a resume.
            self.checkpointer.add_recoverable(
                "ema", self.ema, optional_load=True
            )
        kind = self.hparams.lr_schedule
        steps = self._count_steps() if kind == "cosine" else None
        super().on_fit_start()
        if self.ema.decay:
            self.ema.start()
        warmup_steps = self.hparams.warmup_steps
        self.hparams.lr_scheduler.start(kind, warmup_steps, steps)

    def on_stage_start(self, stage, epoch=None):
        """Validates the average; removes the mean of an earlier test."""
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.VALID and self.ema.decay:
            self.ema.swap()
        elif stage == sb.Stage.TRAIN and if_main_process():
            shutil.rmtree(self.averaged_folder, ignore_errors=True)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Goes on with the trained weights after a validation."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == sb.Stage.VALID and self.ema.decay:
            self.ema.swap()

    def on_fit_batch_start(self, batch, should_step):
        """Sets the learning rate of the next step."""
        super().on_fit_batch_start(batch, should_step)
        self.steps_before = self.optimizer_step
        for optimizer in self.optimizers_dict.values():
            self.hparams.lr_scheduler.set_rate(
                optimizer, self.optimizer_step + 1
            )

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Updates the average if a step was made."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        if self.ema.decay and self.optimizer_step > self.steps_before:
            self.ema.update()

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Loads the best checkpoint, or the mean of the best ones."""
        super().on_evaluate_start(max_key=max_key, min_key=min_key)
        number = self.hparams.average_best if max_key else 1
        found = self.checkpointer.find_checkpoints(
            max_key=max_key, max_num_checkpoints=number
        )
        run_on_main(shutil.rmtree, [self.averaged_folder, True])
        if 0 < len(found) < number:
            logger.warning(
                f"average_best: {number} checkpoints asked for, found and "
                f"used {len(found)}"
            )
        if len(found) > 1:
            parts = parts_of(self.hparams.separator)
            load_mean(found, parts)
            run_on_main(save_mean, [self.averaged_folder, found, parts])

    def _count_steps(self):
        """Steps of the whole training; stages of a curriculum may differ."""
        mixer, steps = self.hparams.train_mixer, 0
        present = int(mixer.epoch)
        for epoch in range(1, self.hparams.epoch_counter.limit + 1):
            mixer.set_epoch(epoch)
            batches = len(self.train_loader)
            steps += math.ceil(batches / self.grad_accumulation_factor)
        mixer.set_epoch(present)
        return min(steps, self.optimizer_step_limit or steps)
