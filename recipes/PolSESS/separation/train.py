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

import math
import sys

from hyperpyyaml import load_hyperpyyaml
from losses import best_permutation, pairwise_si_sdr
from mixtures import (
    all_gather_rows,
    load_mixtures,
    one_row_per_variant,
    pick_mixtures,
)
from prepare_polsess import data_root
from scoring import validation_rows
from summary import validation_stats, write_summary
from variants import counts_in_means

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process, run_on_main


class SeparationBrain(sb.Brain):
    """Trains on one variant of each mixture; validates and tests on all.

    After each stage ``train_stats`` and ``valid_stats`` hold what is logged;
    outside training, ``order`` tells the best permutation of a batch.
    """

    def compute_forward(self, batch, stage):
        """Estimates the sources, [batch, time, source]."""
        mixture, _ = batch.to(self.device).mix_sig
        return self.modules.separator(mixture)

    def compute_objectives(self, predictions, batch, stage):
        """Returns the loss; keeps the scores of validation and test."""
        reference, lengths = batch.sources_sig
        if stage == sb.Stage.TRAIN:
            return self.hparams.loss(predictions, reference, lengths).mean()
        pairs = pairwise_si_sdr(predictions, reference, lengths)
        si_sdr, self.order = best_permutation(pairs)  # [batch, source]
        if stage == sb.Stage.VALID:
            self.valid_rows += validation_rows(batch, si_sdr)
        else:
            self.hparams.scorer.submit(batch, predictions, self.order)
        return -si_sdr.mean()

    def on_stage_start(self, stage, epoch=None):
        """Sets the epoch of the draws; discards the results of a stage."""
        if stage == sb.Stage.TRAIN:
            self.hparams.train_mixer.set_epoch(epoch)
        elif stage == sb.Stage.TEST:
            # Before any rank writes, audio of an earlier test is deleted.
            run_on_main(self.hparams.scorer.clear)
        self.valid_rows = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Selects the model by validation; writes the scores of a test."""
        if stage == sb.Stage.TRAIN:
            self.train_stats = {"loss": stage_loss}
        elif stage == sb.Stage.VALID:
            self.valid_stats = validation_stats(
                all_gather_rows(self.valid_rows)
            )
            self.end_of_epoch(epoch, self.valid_stats["SI-SDRi"])
        else:
            rows = all_gather_rows(self.hparams.scorer.rows())
            if if_main_process():
                self.hparams.scorer.write(rows)
                write_summary(
                    self.hparams.output_folder,
                    self.hparams.test_variants,
                    self.hparams.task,
                )

    def end_of_epoch(self, epoch, si_sdri):
        """Anneals the learning rate, counts gains, logs, saves a checkpoint.

        A validation that is not finite neither anneals nor becomes the best; it
        counts as one without gain.
        """
        lr = self.optimizer.param_groups[0]["lr"]
        meta = {"epoch": epoch}
        if math.isfinite(si_sdri):
            meta["si_sdri"] = si_sdri
            _, new_lr = self.hparams.lr_scheduler(
                [self.optimizer], epoch, -si_sdri
            )
            sb.nnet.schedulers.update_learning_rate(self.optimizer, new_lr)
            self.hparams.epoch_counter.update_metric(si_sdri)
        for train_logger in self.hparams.train_loggers:
            train_logger.log_stats(
                {"epoch": epoch, "lr": lr}, self.train_stats, self.valid_stats
            )
        self.checkpointer.save_and_keep_only(meta=meta, max_keys=["si_sdri"])


def dataio_prep(hparams, splits):
    """Creates the datasets of splits, with one pipeline that reads and mixes.

    Returns a dict, split -> dataset with mixture_id, setting, variant, mix_sig,
    [time], sources_sig, [time, source], and save_audio, but in training. Under
    distributed evaluation each rank has its share.
    """
    # The YAML's variants hold before the first stage of the curriculum.
    stages = [hparams, *(hparams.get("curriculum") or [])]
    variants = {
        "train": [v for stage in stages for v in stage.get("variants", [])],
        "valid": [
            v
            for v in hparams.get("valid_variants", [])
            if counts_in_means(v, hparams["task"])
        ],
        "test": hparams["test_variants"],
    }
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
        keys = ["id", "mixture_id", "setting"]
        if split == "train":
            mixer = hparams["train_mixer"]
        else:
            mixer = hparams["eval_mixer"]
            saved = pick_mixtures(rows, hparams["save_audio"])
            rows = one_row_per_variant(rows, saved)
            keys.append("save_audio")
        datasets[split] = hparams["dataset"](rows)
        datasets[split].add_dynamic_item(mixer, mixer.takes, mixer.provides)
        datasets[split].set_output_keys([*keys, *mixer.provides])
    return datasets


if __name__ == "__main__":
    # Command line and YAML
    words = sys.argv[1:]
    # local: begin (values reach the YAML as they are; an error takes one line)
    from pydoc import locate

    locate("reliability.command_line.shorten_errors")()
    words = locate("reliability.command_line.quoted")(words)
    # local: end
    hparams_file, run_opts, overrides = sb.parse_arguments(words)
    sb.utils.distributed.ddp_init_group(run_opts)
    with open(hparams_file, encoding="utf-8") as fin:
        hparams = load_hyperpyyaml(fin, overrides)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    # local: begin
    locate("reliability.command_line.shorten_errors")()
    # local: end

    # The YAML may add behaviour to the Brain by mixins.
    mixins = hparams.get("brain_mixins", [])
    brain = type("Brain", (*mixins, SeparationBrain), {})(
        modules=hparams["modules"],
        opt_class=hparams.get("opt_class"),
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams.get("checkpointer"),
    )

    # Corpus -> manifests -> datasets; a test alone needs no other split
    splits = ["test"] if brain.test_only else ["train", "valid", "test"]
    if hparams["n_test"] == 0 and not brain.test_only:
        splits.remove("test")
    run_on_main(hparams["prepare"], kwargs={"splits": splits})
    datasets = dataio_prep(hparams, splits)

    # Batches -> estimates
    if not brain.test_only:
        mixtures = datasets["train"].data
        sampler = hparams["sampler"](mixtures, hparams["train_mixer"])
        brain.fit(
            epoch_counter=hparams["epoch_counter"],
            train_set=datasets["train"],
            valid_set=datasets["valid"],
            train_loader_kwargs={
                **hparams["train_loader_kwargs"],
                "sampler": sampler,
            },
            valid_loader_kwargs=hparams["eval_loader_kwargs"],
        )

    # Estimates of the best checkpoint -> test_scores.csv, test_summary.csv
    if "test" in splits:
        brain.evaluate(
            test_set=datasets["test"],
            max_key="si_sdri",
            test_loader_kwargs=hparams["eval_loader_kwargs"],
        )
