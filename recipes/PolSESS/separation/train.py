#!/usr/bin/env python3
"""Recipe for training and testing separation and enhancement on PolSESS.

To run it:
> python train.py hparams/convtasnet.yaml --data_folder=/path/to/PolSESS

Tasks are ES (enhance one speaker), EB (enhance both), SB (separate both):
> python train.py hparams/convtasnet.yaml --data_folder=... --task=SB

To test a trained model again, on some variants and without the slow metrics:
> python train.py hparams/convtasnet.yaml --data_folder=... --test_only \
      --test_variants="[SER, SE]" --metrics="[si_sdr]"

To test a trained model of task SB on Libri2Mix:
> python train.py hparams/test_libri2mix.yaml --data_folder=/path/to/Libri2Mix \
      --init_from=results/convtasnet_SB/1234

Authors
 * The PolSESS recipe team 2026
"""

import sys
from functools import partial

import pandas as pd
import torch
from inference.checkpoints import check_checkpoint, start_from
from checks import check_hparams
from reliability.facts import run_facts
from hardware import Hardware
from hyperpyyaml import load_hyperpyyaml
from losses import best_permutation, pairwise_si_sdr
from mixtures import EpochSampler, load_mixtures, one_row_per_variant
from mixtures import Mixer
from variants import VARIANTS, counts_in_means, source_names
from options import supported_options
from prepare_polsess import data_root
from reliability.random_state import SeededDataset
from reliability.ranks import end_with_torchrun, gathered
from reliability.record import record_run
from reliability.training import Reliable
from reliability.run_folder import lock_folder
from reliability.settings import check_settings
from reporting.strata import check_strata
from scoring import utterances_of
from summary import (
    in_order,
    readable,
    show_clips,
    validation_rows,
    validation_stats,
    warn_of_few_mixtures,
)
from reliability.throughput import Watch

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class SeparationBrain(Hardware, Reliable, Watch, sb.Brain):
    """Trains on one variant of each mixture, validates and tests on all."""

    warned_of_few_mixtures = False

    def compute_forward(self, batch, stage):
        """Estimates the sources, [batch, time, source]."""
        # From pinned memory, the copy to a GPU waits for nothing.
        mixture, _ = batch.to(self.device, non_blocking=True).mix_sig
        return self.modules.separator(mixture)

    def compute_objectives(self, predictions, batch, stage):
        """Returns the loss; keeps the scores of validation and test."""
        _, lengths = batch.mix_sig
        reference, _ = batch.sources_sig
        if stage == sb.Stage.TRAIN:
            loss = self.hparams.loss(predictions, reference, lengths)
            self.train_losses.append(loss.detach().cpu())
            return loss.mean()
        scores = pairwise_si_sdr(predictions, reference, lengths)
        score, _ = best_permutation(scores)
        names = source_names(self.hparams.task)
        cut = partial(utterances_of, batch, predictions, names)
        if stage == sb.Stage.VALID:
            self.valid_rows += validation_rows(batch, score)
            epoch = self.hparams.epoch_counter.current
            show_clips(self.hparams.boards, batch, cut, epoch)
        else:
            for utterance in cut():
                self.hparams.scorer.submit(utterance)
                self.hparams.audio_writer.write(utterance)
        return -score.mean()

    def listen(self, mixture_id, variant):
        """Estimates a test mixture once more, as example for the report."""
        dataset = self.hparams.test_data
        index = dataset.data_ids.index(f"{mixture_id}_{variant}")
        batch = PaddedBatch([dataset[index]])
        with self.evaluation_ctx:
            predictions = self.compute_forward(batch, sb.Stage.TEST)
        names = source_names(self.hparams.task)
        return utterances_of(batch, predictions, names)[0]

    def on_stage_start(self, stage, epoch=None):
        """Sets the epoch of the data pipeline, empties the statistics."""
        if stage == sb.Stage.TRAIN:
            self.hparams.train_mixer.set_epoch(epoch)
            self.train_losses = []
            self.watch_start()
        elif stage == sb.Stage.TEST:
            # Others wait: what they write is not to be removed.
            run_on_main(self.hparams.audio_writer.clear)
        self.valid_rows = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Selects the model by validation; writes the report of the test."""
        if stage == sb.Stage.TRAIN:
            # Of the mixtures since the start or the last resume, without
            # those that Brain skipped. Its own stage_loss is a mean of means.
            losses = torch.cat([torch.empty(0), *self.train_losses])
            losses = torch.tensor(gathered(losses.tolist()))
            losses = losses[losses.isfinite()]
            mean = {"loss": losses.mean().item()} if len(losses) else {}
            self.train_stats = {**mean, "n": len(losses), **self.watch_stats()}
        elif stage == sb.Stage.VALID:
            self.end_of_validation(epoch)
        else:
            is_main = if_main_process()
            rows = self.hparams.scorer.rows(is_main and not self.noprogressbar)
            scores = pd.DataFrame(gathered(rows))
            if is_main:
                self.hparams.reporter.write(
                    scores=in_order(scores),
                    facts=run_facts(self, sys.argv),
                    listen=self.listen,
                )

    def end_of_validation(self, epoch):
        """Logs the epoch, adapts the learning rate, saves a checkpoint."""
        stats, by_variant = validation_stats(gathered(self.valid_rows))
        if not self.warned_of_few_mixtures:
            self.warned_of_few_mixtures = warn_of_few_mixtures(stats)
        meta = {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]}
        if self.is_valid(stats["SI-SDRi"], epoch):
            _, new_lr = self.hparams.lr_scheduler(
                [self.optimizer], epoch, -stats["SI-SDRi"]
            )
            sb.nnet.schedulers.update_learning_rate(self.optimizer, new_lr)
        self.hparams.train_logger.log_stats(
            meta, readable(self.train_stats), readable(stats)
        )
        self.hparams.boards.log_stats(
            meta, self.train_stats, {**stats, **by_variant}
        )
        self.checkpointer.save_and_keep_only(
            meta={"si_sdri": stats["SI-SDRi"], "epoch": epoch},
            max_keys=["si_sdri"],
        )


def dataio_prep(hparams, splits):
    """Makes the datasets, with one pipeline that reads and mixes.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    splits : tuple of str
        Out of train, valid and test.

    Returns
    -------
    dict
        Split -> SeededDataset with the items mixture_id, setting,
        variant, mix_sig [time] and sources_sig [time, source].
    """
    variants = {"test": hparams["test_variants"]}
    if "train" in splits:
        stages = [stage["variants"] for stage in hparams["curriculum"] or []]
        variants["train"] = sum(stages, hparams["variants"])
    if "valid" in splits:
        variants["valid"] = [
            variant
            for variant in hparams["valid_variants"]
            if counts_in_means(variant, hparams["task"])
        ]
    fixed_mixer = Mixer(
        hparams["task"], VARIANTS, hparams["seed"], hparams["sample_rate"]
    )
    datasets = {}
    for split in splits:
        rows = load_mixtures(
            hparams["save_folder"],
            split,
            variants[split],
            data_root(hparams["data_folder"]),
            hparams["sample_rate"],
            hparams[f"n_{split}"],
            hparams.get("packed_folder"),
        )
        mixer = fixed_mixer
        if split == "train":
            # Each mixture takes one variant, drawn anew in every epoch.
            mixer = hparams["train_mixer"]
            sampler = EpochSampler(rows, mixer)
            hparams["train_loader_kwargs"]["sampler"] = sampler
        else:
            if split == "test":
                hparams["audio_writer"].choose(rows)
            # Fixed: every mixture in every variant it has.
            rows = one_row_per_variant(rows)
        datasets[split] = SeededDataset(rows, mixer)
        datasets[split].add_dynamic_item(mixer, Mixer.takes, Mixer.provides)
        datasets[split].set_output_keys(
            ["id", "mixture_id", "setting", *Mixer.provides]
        )
    # The report hears some of them again.
    hparams["test_data"] = datasets.get("test")
    return datasets


if __name__ == "__main__":
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    sb.utils.distributed.ddp_init_group(run_opts)
    end_with_torchrun()

    with open(hparams_file, encoding="utf-8") as fin:
        hparams = load_hyperpyyaml(fin, overrides)
    check_hparams(hparams, run_opts)

    run_on_main(lock_folder, [hparams["output_folder"]])
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    run_opts = supported_options(hparams, run_opts)

    splits = ("test",) if run_opts.test_only else ("train", "valid", "test")
    run_on_main(hparams["prepare"], kwargs={"splits": splits})
    datasets = dataio_prep(hparams, splits)
    check_strata(hparams)
    if not run_opts.test_only:
        run_on_main(
            check_settings,
            [hparams, run_opts, hparams_file, overrides],
            {"resume_changed": hparams["resume_changed"]},
        )

    # Without a checkpointer the YAML has loaded the model itself.
    if hparams["init_from"] and hparams.get("checkpointer"):
        start_from(hparams)

    brain = SeparationBrain(
        modules=hparams["modules"],
        opt_class=hparams.get("opt_class"),
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams.get("checkpointer"),
    )
    run_on_main(
        record_run,
        [hparams, hparams_file, overrides, sys.argv, brain.device],
    )
    # With test_only this returns at once.
    brain.fit(
        epoch_counter=hparams.get("epoch_counter"),
        train_set=datasets.get("train"),
        valid_set=datasets.get("valid"),
        train_loader_kwargs=hparams.get("train_loader_kwargs"),
        valid_loader_kwargs=hparams["eval_loader_kwargs"],
    )
    run_on_main(check_checkpoint, [hparams])
    brain.evaluate(
        test_set=datasets["test"],
        max_key="si_sdri",
        test_loader_kwargs=hparams["eval_loader_kwargs"],
    )
