"""A mixin for the Brain that reports a test and plays validation clips.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
from losses import best_permutation, pairwise_si_sdr
from scoring import utterances_of
from variants import source_names

from reporting.media import without_clipping  # needs matplotlib: say so early
from reporting.report import clear_report, write_report
from speechbrain import Stage
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

CLIPS = 2  # validation mixtures
CLIP_INTERVAL_EPOCHS = 5


class Reporting:
    """Writes the report after a test; logs a few clips after a validation.

    List it in the YAML's brain_mixins. The clips are the first validation
    mixtures, in epoch 1 and every fifth; those of hparams.train_loggers get
    them that have a method ``log_audio``.
    """

    clips = None  # name -> signals; None where the epoch has none to log

    def on_stage_start(self, stage, epoch=None):
        """Removes the report of an earlier test; empties the clips."""
        if stage == Stage.TEST and if_main_process():
            clear_report(self.hparams.output_folder)
        due = epoch == 1 or (epoch or 1) % CLIP_INTERVAL_EPOCHS == 0
        is_due = stage == Stage.VALID and due and if_main_process()
        self.clips = {} if is_due else None
        super().on_stage_start(stage, epoch)

    def compute_objectives(self, predictions, batch, stage):
        """Returns the loss; keeps the signals of a clip."""
        if self.clips is not None and len(self.clips) < CLIPS:
            reference, lengths = batch.sources_sig
            pairs = pairwise_si_sdr(predictions, reference, lengths)
            for utterance in utterances_of(
                batch,
                predictions,
                best_permutation(pairs)[1],
                source_names(self.hparams.task),
            ):
                # The first mixtures, in the variant that is read first
                if len(self.clips) < CLIPS:
                    self.clips.setdefault(utterance.labels["ID"], utterance)
        return super().compute_objectives(predictions, batch, stage)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Logs the clips of a validation; writes the report of a test."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == Stage.VALID and self.clips:
            self._log_clips()
        elif stage == Stage.TEST and if_main_process():
            table, notes = write_report(
                self.hparams.output_folder,
                save_folder=self.hparams.save_folder,
                data_folder=self.hparams.data_folder,
            )
            logger.info(f"Test:\n{table}")
            for note in notes:
                logger.warning(note)

    def _log_clips(self):
        loggers = [
            train_logger
            for train_logger in self.hparams.train_loggers
            if hasattr(train_logger, "log_audio")
        ]
        for utterance in self.clips.values():
            signals = {
                name: np.nan_to_num(signal, posinf=0, neginf=0)
                for name, signal in utterance.signals().items()
            }
            signals, _ = without_clipping(signals)
            clip = "{ID}_{variant}".format(**utterance.labels)
            for train_logger in loggers:
                for name, signal in signals.items():
                    train_logger.log_audio(
                        f"{clip}/{name}", signal, self.hparams.sample_rate
                    )
