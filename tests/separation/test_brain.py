"""The Brain and its mixins: scores of a validation and of a test."""

import numpy as np
import pytest
import torch
from recipe import hparams_of
from reliability.training import Reliable
from train import SeparationBrain, dataio_prep

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.run_opts import RunOptions

SMALL = {"N": 8, "B": 8, "H": 8, "X": 1, "R": 1, "metrics": ["si_sdr"]}


def brain_of(folder, task="ES"):
    """A Brain with a tiny network whose files lie in a folder."""
    hparams = hparams_of(output_folder=str(folder), task=task, **SMALL)
    hparams["train_loggers"] = hparams["train_loggers"][:1]
    made = type("Brain", (Reliable, SeparationBrain), {})(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=RunOptions.from_dictionary({"device": "cpu"}),
        checkpointer=hparams["checkpointer"],
    )
    made.has_started = True  # nothing is recorded
    made.init_optimizers()
    made.train_stats = {"loss": -1.0}
    return made


@pytest.fixture
def brain(tmp_path):
    """A Brain for one speaker."""
    return brain_of(tmp_path)


def validate(brain, epoch, scores, mixtures=60):
    """Ends a validation in which all mixtures have the same scores."""
    brain.on_stage_start(sb.Stage.VALID, epoch)
    for number in range(mixtures):
        for variant, score in scores.items():
            setting = "outdoor" if variant in ("S", "E", "SE") else "indoor"
            brain.valid_rows.append(
                {
                    "ID": f"{setting}{number}",
                    "variant": variant,
                    "setting": setting,
                    "si_sdri": score,
                    "silent": False,
                }
            )
    brain.on_stage_end(sb.Stage.VALID, 0.0, epoch)


def learning_rate(brain):
    return brain.optimizer.param_groups[0]["lr"]


def test_best_checkpoint_has_the_highest_mean_over_variants(brain):
    weight = brain.hparams.encoder.conv1d.weight
    # The mean of the variants decides, not the number of their rows.
    for epoch, scores in enumerate(
        (
            {"SER": 3.0, "S": 3.0},
            {"SER": 2.0, "S": 8.0},
            {"SER": 4.0, "S": 4.0},
        ),
        start=1,
    ):
        torch.nn.init.constant_(weight, epoch)
        validate(brain, epoch, scores)
    best = brain.checkpointer.find_checkpoint(max_key="si_sdri")
    assert best.meta["si_sdri"] == 5.0 and best.meta["epoch"] == 2
    assert type(best.meta["si_sdri"]) is float
    brain.on_evaluate_start(max_key="si_sdri")
    assert torch.all(weight == 2)
    # The latest is kept too, to resume from.
    assert len(brain.checkpointer.list_checkpoints()) == 2


def test_learning_rate_falls_only_when_validation_gets_worse(brain):
    for epoch in range(1, 6):
        validate(brain, epoch, {"S": float(epoch)})
    assert learning_rate(brain) == 0.001
    for epoch in range(6, 9):
        validate(brain, epoch, {"S": 0.0})
    assert learning_rate(brain) == pytest.approx(0.00095)


def test_log_has_one_line_per_epoch(brain, tmp_path):
    validate(brain, 1, {"S": 2.0, "R": -14.0})
    (line,) = (tmp_path / "train_log.txt").read_text().splitlines()
    assert line.startswith("epoch: 1, lr: 1.00e-03 - train loss: -1.00e+00 -")
    for text in (
        "SI-SDRi: -6.00e+00",
        "n: 120",
        "failures: 0",
        "SI-SDRi S: 2.00",
    ):
        assert f"valid {text}" in line


def test_invalid_validation_is_never_best_and_several_stop(brain, caplog):
    validate(brain, 1, {"S": 2.0})
    for epoch in (2, 3, 4):
        validate(brain, epoch, {"S": np.nan})
        assert f"epoch {epoch}: the validation is not finite" in caplog.text
        best = brain.checkpointer.find_checkpoint(max_key="si_sdri")
        assert best.meta["epoch"] == 1
    assert learning_rate(brain) == 0.001
    with pytest.raises(ValueError, match="the training has diverged"):
        validate(brain, 5, {"S": np.nan})
    metas = [c.meta for c in brain.checkpointer.list_checkpoints()]
    assert sorted(meta["epoch"] for meta in metas) == [1, 4, 5]
    assert "si_sdri" not in max(metas, key=lambda meta: meta["epoch"])


def batch_of(mixture, sources):
    """A batch of one item as the data pipeline makes it."""
    return PaddedBatch(
        [
            {
                "id": "a_S",
                "mixture_id": "a",
                "setting": "outdoor",
                "save_audio": False,
                "variant": "S",
                "mix_sig": mixture,
                "sources_sig": sources,
            }
        ]
    )


def test_validation_scores_the_improvement_of_the_best_order(brain):
    torch.manual_seed(0)
    sources = torch.randn(4000, 2)
    estimates = sources.flip(-1) + 0.01 * torch.randn(4000, 2)
    brain.on_stage_start(sb.Stage.VALID, 1)
    batch = batch_of(sources.sum(-1), sources)
    brain.compute_objectives(estimates.unsqueeze(0), batch, sb.Stage.VALID)
    found = [row["si_sdri"] for row in brain.valid_rows]
    # 40 dB against the 0 dB of the mixture
    assert found == pytest.approx([40, 40], abs=1)


def test_silent_reference_is_a_failure_and_no_score(brain):
    sources = torch.stack([torch.randn(4000), torch.zeros(4000)], -1)
    brain.on_stage_start(sb.Stage.VALID, 1)
    batch = batch_of(sources.sum(-1), sources)
    estimates = torch.randn(1, 4000, 2)
    brain.compute_objectives(estimates, batch, sb.Stage.VALID)
    found = [row["si_sdri"] for row in brain.valid_rows]
    assert np.isfinite(found[0]) and np.isnan(found[1])


def test_test_scores_the_estimates_in_the_order_of_the_references(tmp_path):
    brain = brain_of(tmp_path, "SB")
    torch.manual_seed(0)
    sources = torch.randn(4000, 2)
    noise = torch.randn(4000, 2) * torch.tensor([0.1, 0.01])
    estimates = (sources + noise).flip(-1).unsqueeze(0)
    batch = batch_of(sources.sum(-1), sources)
    brain.compute_objectives(estimates, batch, sb.Stage.TEST)
    rows = brain.hparams.scorer.rows()
    assert [row["source"] for row in rows] == ["s1", "s2"]
    found = [row["si_sdr"] for row in rows]
    assert found == pytest.approx([20, 40], abs=1)


def test_c_is_not_validated_for_enhancement(monkeypatch):
    asked = {}

    def load(save_folder, split, variants, *_):
        """Notes the variants instead of loading manifests."""
        asked[split] = variants
        row = {"setting": "outdoor", "scene_class": "park"}
        return {"a": {"variants": list(variants), **row}}

    monkeypatch.setattr("train.load_mixtures", load)
    for task, expected in (("ES", ["S"]), ("SB", ["S", "C"])):
        hparams = hparams_of(task=task, valid_variants=["S", "C"], **SMALL)
        dataio_prep(hparams, ("valid",))
        assert asked["valid"] == expected


def test_a_model_that_was_not_trained_is_not_tested(brain):
    with pytest.raises(ValueError, match="expected a checkpoint to test"):
        brain.on_evaluate_start(max_key="si_sdri")
