"""A mixin for the Brain that reports a test and plays validation clips.

Authors
 * The PolSESS recipe team 2026
"""

from scoring import utterances_of
from variants import source_names

from reporting.media import without_clipping  # needs matplotlib: say so early
from reporting.report import clear_report, write_report
from speechbrain import Stage
from speechbrain.utils.distributed import if_main_process, run_on_main
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
        loss = super().compute_objectives(predictions, batch, stage)
        if self.clips is not None and len(self.clips) < CLIPS:
            sources = source_names(self.hparams.task)
            utterances = utterances_of(batch, predictions, self.order, sources)
            # The first mixtures, in the variant that is read first
            for utterance in utterances[: CLIPS - len(self.clips)]:
                self.clips.setdefault(utterance.labels["ID"], utterance)
        return loss

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Logs the clips of a validation; writes the report of a test."""
        super().on_stage_end(stage, stage_loss, epoch)
        if stage == Stage.VALID:
            # By all ranks: loggers of SpeechBrain wait for the others.
            run_on_main(self._log_clips)
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
        rate = self.hparams.sample_rate
        for utterance in (self.clips or {}).values():
            clip = "{ID}_{variant}".format(**utterance.labels)
            signals, _ = without_clipping(utterance.signals())
            for name, signal in signals.items():
                for train_logger in self.hparams.train_loggers:
                    if hasattr(train_logger, "log_audio"):
                        train_logger.log_audio(f"{clip}/{name}", signal, rate)
