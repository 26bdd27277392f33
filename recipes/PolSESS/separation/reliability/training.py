"""A mix-in that makes an interrupted training end with the undisturbed model.

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch
from reliability.signals import Interruptible
from reliability.optimizer_options import apply_changed_options
from reliability.random_state import RandomState
from reliability.ranks import agreed, gathered
from reliability.settings import keep_settings

import speechbrain as sb
from speechbrain.utils.distributed import (
    is_distributed_initialized,
    run_on_main,
)
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class Reliable(Interruptible):
    """A mix-in before sb.Brain; it answers these defects of it:

    * Random state is not saved, and making the iterator of a loader draws from
      the global generator: loaders get a generator of their own.
    * A checkpoint within a window of gradient accumulation loses the gradients
      of the window: here one is only written where a window ends.
    * The last, shorter window of an epoch is thrown away: here it makes a step,
      scaled by its own length.
    * One gradient that is not finite makes all weights NaN, or, set to None,
      lets Adam move the others: here such a step changes nothing, the mixtures
      are named, and after nonfinite_patience such steps in a row it is an error.
    * Only the first group of parameters is clipped: here all are, together.
    * evaluate() counts on from the step of an intra-epoch checkpoint.
    * With several processes each validates and tests everything: here each
      takes a part, and ``gathered`` brings the rows together.
    * Some losses that are not finite, anywhere in an epoch, end the training, in
      one of several processes, for which the others wait: here such a loss
      counts as a gradient that is not finite, in all processes, and the mixtures
      of all are named.
    """

    skipped_in_a_row = 0
    invalid_in_a_row = 0

    def make_dataloader(self, dataset, stage, *arguments, **loader_kwargs):
        """Makes a loader whose randomness is its own, see the parent."""
        generator = torch.Generator().manual_seed(self.hparams.seed)
        loader_kwargs.setdefault("generator", generator)
        if stage != sb.Stage.TRAIN and is_distributed_initialized():
            loader_kwargs["sampler"] = range(
                torch.distributed.get_rank(),
                len(dataset),
                torch.distributed.get_world_size(),
            )
        loader = super().make_dataloader(
            dataset, stage, *arguments, **loader_kwargs
        )
        if stage == sb.Stage.TRAIN:
            self.train_loader = loader
        return loader

    def on_fit_start(self):
        """Recovers the random state too, and applies changed options."""
        self.checkpointer.add_recoverable("random", RandomState())
        super().on_fit_start()
        for optimizer in (self.optimizers_dict or {}).values():
            apply_changed_options(optimizer)
        run_on_main(keep_settings, [self.checkpointer.checkpoints_dir])
        self.window_ids = []
        self.window_is_finite = True

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Counts the batches of the test from 1."""
        super().on_evaluate_start(max_key=max_key, min_key=min_key)
        self.step = 0

    def on_fit_batch_start(self, batch, should_step):
        """Remembers the mixtures of a window."""
        super().on_fit_batch_start(batch, should_step)
        self.window_ids += batch.mixture_id

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Makes the step of the last window of an epoch."""
        if self.step == len(self.train_loader) and not should_step:
            length = self.step % self.grad_accumulation_factor
            scale = self.grad_accumulation_factor / length
            for parameter in self.modules.parameters():
                if parameter.grad is not None:
                    parameter.grad *= scale
                    if is_distributed_initialized():
                        # no_sync was on, the window being incomplete.
                        torch.distributed.all_reduce(parameter.grad)
                        parameter.grad /= torch.distributed.get_world_size()
            self.optimizers_step()
        super().on_fit_batch_end(batch, outputs, loss, should_step)

    def optimizers_step(self):
        """Makes a step if all gradients are finite, clipping them together."""
        optimizers = self.freeze_optimizers(self.optimizers_dict).values()
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(
            [
                parameter
                for optimizer in optimizers
                for group in optimizer.param_groups
                for parameter in group["params"]
            ],
            self.max_grad_norm,
        )
        is_finite = self.window_is_finite and norm.isfinite()
        if not agreed(is_finite, "MIN"):  # in some process
            norm = norm * torch.nan
        self.gradient_norms.append(norm.detach())
        if norm.isfinite():
            self.skipped_in_a_row = 0
            for optimizer in optimizers:
                self.scaler.step(optimizer)
            self.optimizer_step += 1
        else:
            self._skip_step()
        # In fp16 this lowers the scale where it was too high.
        self.scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.window_ids = []
        self.window_is_finite = True

    def check_loss_isfinite(self, loss):
        """Lets the step of a loss that is not finite change nothing."""
        self.window_is_finite &= bool(loss.isfinite())

    def _skip_step(self):
        """Counts and names a step that was not made."""
        self.skipped_in_a_row += 1
        mixtures = ", ".join(gathered(self.window_ids))
        logger.warning(
            f"step {self.step}: loss or gradients are not finite, so nothing "
            f"changes; mixtures: {mixtures}"
        )
        # fp16 begins with a scale that is too high for some steps.
        patience = self.nonfinite_patience + 20 * self.scaler.is_enabled()
        if self.skipped_in_a_row > patience:
            raise ValueError(
                f"{self.skipped_in_a_row} steps in a row have a loss or "
                "gradients that are not finite (--nonfinite_patience); the "
                f"last checkpoint is intact. Mixtures: {mixtures}"
            )

    def is_valid(self, metric, epoch):
        """Whether the metric of a validation says anything.

        Raises ValueError when nonfinite_patience validations before said
        nothing either.

        Arguments
        ---------
        metric : float
            By which the best epoch is found.
        epoch : int
            Its number.

        Returns
        -------
        bool
            False, with a warning, if it is not finite.
        """
        if math.isfinite(metric):
            self.invalid_in_a_row = 0
            return True
        self.invalid_in_a_row += 1
        if self.invalid_in_a_row > self.nonfinite_patience:
            raise ValueError(
                f"epoch {epoch}: the validation is not finite, as were the "
                f"{self.nonfinite_patience} before it (--nonfinite_patience): "
                "the training has diverged"
            )
        logger.warning(
            f"epoch {epoch}: the validation is not finite; it is invalid, and "
            "its checkpoint never the best"
        )
        return False
