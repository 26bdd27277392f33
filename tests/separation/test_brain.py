"""The Brain and its datasets: what a YAML asks for, is scored and is kept."""

import numpy as np
import pytest
import torch
from corpora import make_corpus
from losses import si_sdr_loss
from recipe import hparams_of
from train import SeparationBrain, dataio_prep

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.run_opts import RunOptions

SMALL = {"N": 8, "B": 8, "H": 8, "X": 1, "R": 1, "metrics": ["si_sdr"]}


def brain_of(folder, task="ES"):
    """A Brain with a tiny network whose files lie in a folder."""
    hparams = hparams_of(output_folder=str(folder), task=task, **SMALL)
    hparams["train_loggers"] = hparams["train_loggers"][:1]
    made = SeparationBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=RunOptions.from_dictionary({"device": "cpu"}),
        checkpointer=hparams["checkpointer"],
    )
    made.init_optimizers()
    made.train_stats = {"loss": -1.0}
    return made


@pytest.fixture
def brain(tmp_path):
    """A Brain for one speaker."""
    return brain_of(tmp_path)


def validate(brain, epoch, scores):
    """Ends a validation in which all of 60 mixtures have the same scores."""
    brain.on_stage_start(sb.Stage.VALID, epoch)
    for number in range(60):
        for variant, score in scores.items():
            row = {"ID": f"{variant}{number}", "variant": variant}
            row.update(setting="outdoor", si_sdri=score)
            row.update(silent=False, is_floor=False)
            brain.valid_rows.append(row)
    brain.on_stage_end(sb.Stage.VALID, 0.0, epoch)


def learning_rate(brain):
    return brain.optimizer.param_groups[0]["lr"]


def test_best_checkpoint_has_the_highest_mean_over_variants(brain):
    weight = brain.hparams.encoder.conv1d.weight
    for epoch, scores in ((1, (3.0, 3.0)), (2, (2.0, 8.0)), (3, (4.0, 4.0))):
        torch.nn.init.constant_(weight, epoch)
        validate(brain, epoch, dict(zip(["SE", "S"], scores)))
    best = brain.checkpointer.find_checkpoint(max_key="si_sdri")
    assert best.meta["si_sdri"] == 5.0 and best.meta["epoch"] == 2
    assert type(best.meta["si_sdri"]) is float
    brain.on_evaluate_start(max_key="si_sdri")
    assert torch.all(weight == 2)
    # The latest is kept too, to resume from.
    assert len(brain.checkpointer.list_checkpoints()) == 2


def test_learning_rate_falls_only_when_validation_gets_worse(brain, tmp_path):
    for epoch in range(1, 6):
        validate(brain, epoch, {"S": float(epoch), "E": -14.0})
    assert learning_rate(brain) == 0.001
    for epoch in range(6, 9):
        validate(brain, epoch, {"S": 0.0, "E": -14.0})
    assert learning_rate(brain) == pytest.approx(0.00095)
    lines = (tmp_path / "train_log.txt").read_text().splitlines()
    # The logged rate is that of the epoch.
    begin = "epoch: 8, lr: 1.00e-03 - train loss: -1.00e+00 - valid "
    assert len(lines) == 8 and lines[7].startswith(begin)
    for text in ("SI-SDRi: -7.00e+00", "n: 120", "SI-SDRi E: -1.40e+01"):
        assert f"valid {text}" in lines[7]


def test_invalid_validation_is_never_best_and_anneals_nothing(brain):
    validate(brain, 1, {"S": 2.0})
    for epoch in range(2, 6):
        validate(brain, epoch, {"S": np.nan})
        best = brain.checkpointer.find_checkpoint(max_key="si_sdri")
        assert best.meta["epoch"] == 1
    assert learning_rate(brain) == 0.001
    metas = [c.meta for c in brain.checkpointer.list_checkpoints()]
    latest = max(metas, key=lambda meta: meta["epoch"])
    assert latest["epoch"] == 5 and "si_sdri" not in latest


def batch_of(*sources):
    """A batch of the sums of sources, [time, source], as the pipeline does."""
    keys = {"setting": "outdoor", "save_audio": False, "variant": "S"}
    names = {"id": "a_S", "mixture_id": "a"}
    return PaddedBatch(
        [
            {**keys, **names, "mix_sig": s.sum(-1), "sources_sig": s}
            for s in sources
        ]
    )


def test_loss_and_validation_know_orders_and_lengths(brain):
    torch.manual_seed(0)
    sources = torch.randn(4000, 2), torch.randn(3000, 2)
    batch = batch_of(*sources)
    estimates = torch.randn(2, 4000, 2)  # which padding does not silence
    for estimate, source in zip(estimates, sources):
        noisy = source + 0.01 * torch.randn(source.shape)
        estimate[: len(source)] = noisy.flip(-1)
    parts = estimates[:1], estimates[1:, :3000]
    losses = [si_sdr_loss(p, s[None]) for p, s in zip(parts, sources)]
    stages = sb.Stage.TRAIN, sb.Stage.VALID
    brain.on_stage_start(sb.Stage.VALID, 1)
    for stage in stages:
        loss = brain.compute_objectives(estimates, batch, stage)
        assert loss.item() == pytest.approx(sum(losses).item() / 2, abs=1e-3)
    assert brain.order.tolist() == [[1, 0]] * 2
    # 40 dB against the 0 dB of the mixture
    found = [row["si_sdri"] for row in brain.valid_rows]
    assert found == pytest.approx([40] * 4, abs=1)


def test_a_test_scores_estimates_in_the_order_of_the_references(tmp_path):
    brain = brain_of(tmp_path, "SB")
    table = tmp_path / "test_scores.csv"
    table.write_text("of an earlier test")
    brain.on_stage_start(sb.Stage.TEST)
    assert not table.exists()
    torch.manual_seed(0)
    sources = torch.randn(4000, 2)
    noise = torch.randn(4000, 2) * torch.tensor([0.1, 0.01])
    estimates = (sources + noise).flip(-1).unsqueeze(0)
    brain.compute_objectives(estimates, batch_of(sources), sb.Stage.TEST)
    rows = brain.hparams.scorer.rows()
    assert [row["source"] for row in rows] == ["s1", "s2"]
    found = [row["si_sdr"] for row in rows]
    assert found == pytest.approx([20, 40], abs=1)


def test_training_sets_the_epoch_of_the_draws(brain):
    brain.on_stage_start(sb.Stage.TRAIN, 7)
    brain.on_stage_start(sb.Stage.VALID, 8)
    assert brain.hparams.train_mixer.epoch.item() == 7


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "corpus"
    counts = {"train": (4, 4), "val": (2, 2), "test": (2, 2)}
    make_corpus(root, counts, seconds=0.2)
    return root


@pytest.mark.parametrize("task, n_valid", [("ES", 2), ("SB", 4 + 2)])
def test_datasets_are_those_that_the_yaml_asks_for(
    corpus, tmp_path, task, n_valid
):
    hparams = hparams_of(
        data_folder=str(corpus),
        output_folder=str(tmp_path),
        task=task,
        variants=["R"],
        curriculum=[{"epoch": 3, "variants": ["S"]}],
        valid_variants=["SER", "C"],
        test_variants=["SE", "S"],
        segment_seconds=0.1,
        n_train=7,
        n_test=1,
        save_audio=1,
        **SMALL,
    )
    splits = ["train", "valid", "test"]
    hparams["prepare"](splits=splits)
    sets = dataio_prep(hparams, splits)
    # Mixtures of all stages; C is not validated for enhancement; two variants.
    assert [len(sets[split]) for split in splits] == [7, n_valid, 2]
    found = {row["variants"][0] for row in sets["train"].data.values()}
    assert found == {"R", "S"}
    rows = [(row["variant"], row["save_audio"]) for row in sets["test"]]
    assert rows == [("SE", True), ("S", True)]
    # Training crops, validation does not.
    assert sets["train"][0]["mix_sig"].shape == (800,)
    assert {len(row["sources_sig"]) for row in sets["valid"]} == {1600}
