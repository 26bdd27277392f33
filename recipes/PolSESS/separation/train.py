#!/usr/bin/env python3
"""Recipe for training and testing separation and enhancement on PolSESS.

To run it:
> python train.py hparams/convtasnet.yaml --data_folder=/path/to/PolSESS

Tasks are ES (enhance one speaker), EB (enhance both), SB (separate both):
> python train.py hparams/convtasnet.yaml --data_folder=... --task=SB

To test a trained model again, on some variants and without the slow metrics:
> python train.py hparams/convtasnet.yaml --data_folder=... --test_only \
      --test_variants="[SER, SE]" --metrics="[si_sdr]"

Authors
 * The PolSESS recipe team 2026
"""

import sys

import numpy as np
import pandas as pd
import torch
from checkpoints import (
    check_checkpoint,
    load_weights,
    set_aside_broken_checkpoints,
)
from checks import check_hparams
from hyperpyyaml import load_hyperpyyaml
from losses import best_permutation, pairwise_si_sdr
from manifests import EpochSampler, load_mixtures, one_row_per_variant
from mixer import Mixer
from mmipc import VARIANTS, counts_in_means, source_names
from options import supported_accumulation, supported_options
from prepare_polsess import data_root, prepare_polsess
from report import mean_interval, strata_of, to_markdown, write_report

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class SeparationBrain(sb.Brain):
    """Trains on one variant of each mixture, validates and tests on all."""

    warned_of_few_mixtures = False

    def compute_forward(self, batch, stage):
        """Estimates the sources, [batch, time, source]."""
        mixture, _ = batch.to(self.device).mix_sig
        return self.modules.separator(mixture)

    def compute_objectives(self, predictions, batch, stage):
        """Returns the loss; keeps the scores of validation and test."""
        mixture, lengths = batch.mix_sig
        reference, _ = batch.sources_sig
        if stage == sb.Stage.TRAIN:
            loss = self.hparams.loss(predictions, reference, lengths)
            self.train_losses.append(loss.detach().cpu())
            return loss.mean()
        scores = pairwise_si_sdr(predictions, reference, lengths)
        score, order = best_permutation(scores)
        if stage == sb.Stage.VALID:
            baseline = pairwise_si_sdr(
                mixture.unsqueeze(-1), reference, lengths
            )
            si_sdri = score - baseline[:, 0]
            # Against a silent reference no score is defined.
            silent = reference.abs().amax(1) == 0
            self.keep_scores(batch, si_sdri.masked_fill(silent, torch.nan))
        elif if_main_process():
            order = order.unsqueeze(1).expand_as(predictions)
            self.submit(batch, predictions.float().gather(-1, order))
        return -score.mean()

    def keep_scores(self, batch, si_sdri):
        """Keeps the SI-SDRi of a batch, in dB, [batch, source]."""
        for number, values in enumerate(si_sdri.cpu().tolist()):
            for value in values:
                self.valid_rows.append(
                    {
                        "ID": batch.mixture_id[number],
                        "variant": batch.variant[number],
                        "setting": batch.setting[number],
                        "si_sdri": value,
                    }
                )

    def submit(self, batch, estimates):
        """Sends the utterances of a batch to be scored, without padding."""
        mixture, lengths = batch.mix_sig
        samples = (lengths * mixture.shape[1]).round().long().tolist()
        for number, length in enumerate(samples):
            self.hparams.scorer.submit(
                labels={
                    "ID": batch.mixture_id[number],
                    "variant": batch.variant[number],
                    "setting": batch.setting[number],
                },
                sources=source_names(self.hparams.task),
                estimate=estimates[number, :length].cpu().numpy(),
                reference=batch.sources_sig[0][number, :length].cpu().numpy(),
                mixture=mixture[number, :length].cpu().numpy(),
            )

    def on_stage_start(self, stage, epoch=None):
        """Sets the epoch of the data pipeline, empties the statistics."""
        if stage == sb.Stage.TRAIN:
            self.hparams.train_mixer.set_epoch(epoch)
            self.train_losses = []
        self.valid_rows = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Selects the model by validation; writes the tables of the test."""
        if stage == sb.Stage.TRAIN:
            # Of the mixtures since the start or the last resume, without
            # those that Brain skipped. Its own stage_loss is a mean of means.
            losses = torch.cat([torch.empty(0), *self.train_losses])
            losses = losses[losses.isfinite()]
            self.train_stats = {"n": len(losses)}
            if len(losses):
                self.train_stats["loss"] = losses.mean().item()
        elif stage == sb.Stage.VALID:
            self.end_of_validation(epoch)
        elif stage == sb.Stage.TEST and if_main_process():
            scores = pd.DataFrame(self.hparams.scorer.rows())
            summary = write_report(
                scores,
                self.hparams.test_variants,
                self.hparams.task,
                self.hparams.output_folder,
            )
            logger.info(f"Test of {len(scores)} rows:\n{to_markdown(summary)}")

    def end_of_validation(self, epoch):
        """Logs the epoch, adapts the learning rate, saves a checkpoint."""
        rows = pd.DataFrame(self.valid_rows)
        si_sdri, half_width = mean_interval(rows, "si_sdri", strata_of(rows))
        mixtures = rows["ID"].nunique()
        if not np.isfinite(si_sdri):
            raise ValueError(
                f"epoch {epoch}: no validation SI-SDRi is finite, the training "
                f"has diverged; the checkpoints in {self.hparams.save_folder} "
                "are those of earlier epochs"
            )
        if mixtures < 50 and not self.warned_of_few_mixtures:
            self.warned_of_few_mixtures = True
            logger.warning(
                f"validation has only {mixtures} mixtures: its mean SI-SDRi, "
                f"{si_sdri:.2f} dB, is known to +- {half_width:.2f} dB (95 %), "
                "so the best epoch is partly chance"
            )
        old_lr, new_lr = self.hparams.lr_scheduler(
            [self.optimizer], epoch, -si_sdri
        )
        sb.nnet.schedulers.update_learning_rate(self.optimizer, new_lr)
        self.hparams.train_logger.log_stats(
            stats_meta={"epoch": epoch, "lr": old_lr},
            train_stats=self.train_stats,
            valid_stats={
                "SI-SDRi": float(si_sdri),
                "+-": float(half_width),
                "n": len(rows),
                "failures": int(rows["si_sdri"].isna().sum()),
            },
        )
        self.checkpointer.save_and_keep_only(
            meta={"si_sdri": float(si_sdri), "epoch": epoch},
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
        Split -> DynamicItemDataset with the items mixture_id, setting,
        variant, mix_sig [time] and sources_sig [time, source].
    """
    stages = [stage["variants"] for stage in hparams["curriculum"] or []]
    variants = {
        "train": sum(stages, hparams["variants"]),
        "valid": [
            variant
            for variant in hparams["valid_variants"]
            if counts_in_means(variant, hparams["task"])
        ],
        "test": hparams["test_variants"],
    }
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
        )
        mixer = fixed_mixer
        if split == "train":
            # Each mixture takes one variant, drawn anew in every epoch.
            mixer = hparams["train_mixer"]
            sampler = EpochSampler(rows, mixer)
            hparams["train_loader_kwargs"]["sampler"] = sampler
        else:
            # Fixed: every mixture in every variant it has.
            rows = one_row_per_variant(rows)
        datasets[split] = sb.dataio.dataset.DynamicItemDataset(rows)
        datasets[split].add_dynamic_item(mixer, Mixer.takes, Mixer.provides)
        datasets[split].set_output_keys(
            ["id", "mixture_id", "setting", *Mixer.provides]
        )
    return datasets


if __name__ == "__main__":
    hparams_file, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
    sb.utils.distributed.ddp_init_group(run_opts)

    with open(hparams_file, encoding="utf-8") as fin:
        hparams = load_hyperpyyaml(fin, overrides)
    check_hparams(hparams, run_opts)

    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    run_opts = supported_options(hparams, run_opts)

    splits = ("test",) if run_opts.test_only else ("train", "valid", "test")
    run_on_main(
        prepare_polsess,
        kwargs={
            "data_folder": hparams["data_folder"],
            "save_folder": hparams["save_folder"],
            "splits": splits,
            "audit": hparams["audit"],
            "on_bad_rows": hparams["on_bad_rows"],
            "skip_prep": hparams["skip_prep"],
        },
    )
    datasets = dataio_prep(hparams, splits)
    run_opts = supported_accumulation(hparams, run_opts)

    if hparams["init_from"]:
        load_weights(hparams["separator"], hparams["init_from"])

    brain = SeparationBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    run_on_main(set_aside_broken_checkpoints, [hparams["save_folder"]])
    brain.fit(
        epoch_counter=hparams["epoch_counter"],
        train_set=datasets.get("train"),
        valid_set=datasets.get("valid"),
        train_loader_kwargs=hparams["train_loader_kwargs"],
        valid_loader_kwargs=hparams["eval_loader_kwargs"],
    )
    check_checkpoint(hparams)
    brain.evaluate(
        test_set=datasets["test"],
        max_key="si_sdri",
        test_loader_kwargs=hparams["eval_loader_kwargs"],
    )
