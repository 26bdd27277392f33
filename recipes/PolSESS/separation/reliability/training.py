"""A mixin that makes an interrupted training end with the undisturbed model.

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch
from checkpoints.random_state import RandomState
from checkpoints.weights import (
    check_checkpoint,
    check_saved_network,
    start_from,
)
from mixtures import all_gather_rows
from runs.ranks import all_reduce, end_with_torchrun, run_on_main_or_end
from runs.record import record_start
from runs.settings import check_settings, keep_settings, settings_of

import speechbrain as sb
from reliability.run_options import check_run_options
from reliability.signals import Interruptible
from speechbrain.utils.distributed import is_distributed_initialized
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

GIVEN = "given"  # key of a parameter group: the options of its optimizer


class Reliable(Interruptible):
    """A mixin for sb.Brain; place it before the Brain, and before other mixins.

    * Run options are checked before any data is read.
    * A training with other settings is not resumed, see ``settings``; each
      start is recorded, see ``record``.
    * RNG states are saved, and loaders have a generator of their own, because
      making an iterator draws from the global one.
    * Checkpoints are written where a window of gradient accumulation ends. In
      the middle of one, its gradients would be lost.
    * The last, shorter window of an epoch makes a step, scaled by its length.
      SpeechBrain drops it.
    * A step whose loss or gradients are not finite, in any rank, changes
      nothing, and the mixtures are named. After ``nonfinite_patience`` such
      steps in a row, or validations, the training stops. SpeechBrain sets such
      gradients to None, and Adam moves the other weights.
    * All groups of parameters are clipped, together. SpeechBrain clips the
      first one.
    * The steps of a test count from 1. SpeechBrain counts on from the step of
      an intra-epoch checkpoint.

    Arguments
    ---------
    modules, opt_class, hparams, run_opts, checkpointer
        See sb.Brain. The hparams are those of a YAML with output_folder,
        save_folder and seed.
    """

    skipped_in_a_row = 0
    invalid_in_a_row = 0
    has_started = False
    train_loader = ()

    def __init__(
        self,
        modules=None,
        opt_class=None,
        hparams=None,
        run_opts=None,
        checkpointer=None,
    ):
        end_with_torchrun()
        run_opts = check_run_options(run_opts, hparams, modules)
        if checkpointer is None:  # the YAML has loaded a model to test
            check_checkpoint(None, (hparams or {}).get("init_from"))
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)

    def make_dataloader(self, dataset, stage, *arguments, **loader_kwargs):
        """Makes a loader with a generator of its own, see the parent."""
        generator = torch.Generator().manual_seed(self.hparams.seed)
        loader_kwargs.setdefault("generator", generator)
        loader = super().make_dataloader(
            dataset, stage, *arguments, **loader_kwargs
        )
        if stage == sb.Stage.TRAIN:
            self.train_loader = loader
        return loader

    def on_fit_start(self):
        """Checks and records the settings; recovers, RNG states too."""
        run_on_main_or_end(self._check_settings)
        self._start()
        self.checkpointer.add_recoverable("random", RandomState())
        super().on_fit_start()
        for optimizer in (self.optimizers_dict or {}).values():
            apply_changed_options(optimizer)
        run_on_main_or_end(keep_settings, self.checkpointer.checkpoints_dir)

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Refuses random weights; counts the batches of the test from 1."""
        if not self.has_started:
            self._start()
        if max_key is not None:
            init_from = getattr(self.hparams, "init_from", None)
            check_checkpoint(self.checkpointer, init_from, max_key)
        super().on_evaluate_start(max_key=max_key, min_key=min_key)
        self.step = 0

    def on_stage_start(self, stage, epoch=None):
        """Begins an epoch, or what a resume left of it."""
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            # Stages of a curriculum may differ in length.
            self.n_train_batches = len(self.train_loader)
            self.gradient_norms = []
            self._begin_window()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Logs the gradients of an epoch; stops a training that diverged."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == sb.Stage.TRAIN:
            self.train_stats.update(norm_stats(self.gradient_norms))
        elif stage == sb.Stage.VALID:
            self._check_validation(self.valid_stats["SI-SDRi"], epoch)

    def on_fit_batch_start(self, batch, should_step):
        """Remembers the mixtures of the window."""
        super().on_fit_batch_start(batch, should_step)
        self.window_ids += batch.mixture_id

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Makes the step of the last window of an epoch."""
        if self.step == self.n_train_batches and not should_step:
            length = self.step % self.grad_accumulation_factor
            scale = self.grad_accumulation_factor / length
            for parameter in self.modules.parameters():
                if parameter.grad is not None:
                    parameter.grad *= scale
                    if is_distributed_initialized():
                        # DDP did not average: no_sync was on in this window.
                        torch.distributed.all_reduce(parameter.grad)
                        parameter.grad /= torch.distributed.get_world_size()
            self.optimizers_step()
        super().on_fit_batch_end(batch, outputs, loss, should_step)

    def window_is_open(self):
        """Says whether gradients wait for the step of their window."""
        return bool(self.window_ids)

    def check_loss_isfinite(self, loss):
        """Marks the window of a loss that is not finite."""
        self.window_is_finite &= bool(loss.isfinite())

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
        if not all_reduce(is_finite, "MIN"):  # in some rank
            norm = norm * torch.nan
        self.gradient_norms.append(norm.detach())
        if norm.isfinite():
            self.skipped_in_a_row = 0
            for optimizer in optimizers:
                self.scaler.step(optimizer)
            self.optimizer_step += 1
        else:
            self._skip_step()
        # In fp16 this lowers a scale that was too high.
        self.scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        self._begin_window()

    def _begin_window(self):
        self.window_ids = []
        self.window_is_finite = True

    def _skip_step(self):
        """Counts a step that is not made, and names its mixtures."""
        self.skipped_in_a_row += 1
        mixtures = ", ".join(all_gather_rows(self.window_ids))
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

    def _check_validation(self, si_sdri, epoch):
        """Warns of a validation that is not finite; raises after several."""
        if math.isfinite(si_sdri):
            self.invalid_in_a_row = 0
            return
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

    def _check_settings(self):
        resume_changed = getattr(self.hparams, "resume_changed", False)
        folder = self.checkpointer.checkpoints_dir
        check_settings(folder, settings_of(self), resume_changed)

    def _start(self):
        """Loads the weights of init_from, and records the start of a run."""
        init_from = getattr(self.hparams, "init_from", None)
        if self.checkpointer is not None:
            check_saved_network(self.checkpointer)
        if init_from and self.checkpointer is not None:
            start_from(self.hparams.separator, init_from, self.checkpointer)
        run_on_main_or_end(record_start, self)
        self.has_started = True


def norm_stats(norms):
    """Summarises the gradient norms of an epoch.

    Arguments
    ---------
    norms : list of torch.Tensor
        Norm before clipping of each step, NaN for a step that was not made.

    Returns
    -------
    dict
        nonfinite_gradient_steps, a number of steps; gradient_norm, the mean of
        the finite norms, and gradient_norm_max, unless there are none.

    Example
    -------
    >>> norm_stats([torch.tensor(1.0), torch.tensor(torch.nan)])
    {'nonfinite_gradient_steps': 1, 'gradient_norm': 1.0, 'gradient_norm_max': 1.0}
    """
    if not norms:
        return {"nonfinite_gradient_steps": 0}
    norms = torch.stack(norms).cpu()
    finite = norms[norms.isfinite()]
    stats = {"nonfinite_gradient_steps": len(norms) - len(finite)}
    if len(finite):
        stats["gradient_norm"] = finite.mean().item()
        stats["gradient_norm_max"] = finite.max().item()
    return stats


def apply_changed_options(optimizer):
    """Lets changed options, for instance lr, take effect after a resume.

    The state of an optimizer holds its options, which SpeechBrain loads over
    those of the YAML without a word. Here an option has changed if the
    optimizer of the checkpoint was made with another one. Otherwise the
    learning rate stays as the scheduler has set it.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        With or without a loaded state; changed in place.

    Example
    -------
    >>> weights = [torch.zeros(1)]
    >>> old = torch.optim.Adam(weights, lr=0.1, weight_decay=0.5)
    >>> apply_changed_options(old)
    >>> old.param_groups[0]["lr"] = 0.01  # by a scheduler
    >>> new = torch.optim.Adam(weights, lr=0.1, weight_decay=0.25)
    >>> new.load_state_dict(old.state_dict())
    >>> apply_changed_options(new)
    >>> new.param_groups[0]["lr"], new.param_groups[0]["weight_decay"]
    (0.01, 0.25)
    """
    for group in optimizer.param_groups:
        before = group.get(GIVEN, optimizer.defaults)
        for name, value in optimizer.defaults.items():
            old = before.get(name)
            # Biases may have a weight decay of their own.
            if value != old and (name == "lr" or group.get(name) == old):
                group[name] = value
        group[GIVEN] = dict(optimizer.defaults)
