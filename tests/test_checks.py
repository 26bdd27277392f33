"""Bad configuration is refused before any data is read, and named."""

import logging

import checks
import pytest
from checkpoints import check_checkpoint
from checks import check_hparams
from options import supported_options
from recipe import hparams_of

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.run_opts import RunOptions

SMALL = {"N": 8, "B": 8, "H": 8, "X": 1, "R": 1}


def check(overrides, **options):
    hparams = hparams_of(**{**SMALL, **overrides})
    check_hparams(hparams, RunOptions.from_dictionary(options))


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"data_folder": None}, "make_corpus.py"),
        ({"data_folder": None}, "POLSESS_DATA_ROOT"),
        ({"data_folder": "/no/such/folder"}, "/no/such/folder .*--data_folder"),
        ({"variants": ["SER", "SRE"]}, "variants: 'SRE' is none .* meant"),
        ({"test_variants": ["ser"]}, "test_variants: 'ser'"),
        ({"valid_variants": ["C"]}, "valid_variants: ES needs one besides C"),
        (
            {"skip_prep": None},
            "skip_prep: .* found None; write --skip_prep=True",
        ),
        ({"causal": "yes"}, "causal: expected True or False, found 'yes'"),
        ({"valid_variants": []}, "valid_variants: expected a list"),
        ({"variants": "SER"}, "variants: expected a list"),
        ({"causal": True}, "norm_type=cLN"),
        ({"stride": 4}, "stride: .* expected 8 .* found 4"),
        ({"num_spks": 2}, "num_spks: task ES has 1 output.* found 2"),
        ({"task": "SB", "num_spks": 1}, "num_spks: task SB has 2"),
        ({"num_spks": 0}, "num_spks: task ES has 1 .* found 0"),
        (
            {"curriculum": [{"epoch": 0, "variants": ["S"]}]},
            "epoch: expected 1",
        ),
        ({"curriculum": [{"epoch": 1}]}, r"curriculum\[0\]: expected"),
        (
            {"curriculum": [{"epoch": 1, "variants": ["X"]}]},
            r"curriculum\[0\].variants: 'X'",
        ),
        ({"n_train": 0}, "n_train: expected a positive integer"),
        ({"packed_folder": True}, "packed_folder: expected a folder or null"),
        ({"pin_memory": 1}, "pin_memory: expected True or False, found 1"),
        (
            {"prefetch_factor": 4, "num_workers": 0},
            "prefetch_factor: .* --num_workers=1 or more",
        ),
        ({"n_valid": "all"}, "n_valid: .* 'all'"),
        ({"metrics": "si_sdr"}, "metrics: expected a list, found 'si_sdr'"),
        ({"metrics": ["snr"]}, "metrics: 'snr' is none of si_sdr, sdr, pesq"),
        ({"metrics": ["os.snr"]}, "metrics: 'os.snr': .* no attribute 'snr'"),
        ({"metrics": ["no.snr"]}, "metrics: 'no.snr': No module named 'no'"),
        ({"strata": "ssr_db"}, "strata: expected a list, found 'ssr_db'"),
        ({"strata": None}, "strata: expected a list, found None"),
        ({"save_audio": "some"}, "save_audio: .* or all, found 'some'"),
        ({"save_audio": -1}, "save_audio: .* or all, found -1"),
        ({"save_audio": True}, "save_audio: .* or all, found True"),
        ({"sample_rate": 44100}, "pesq is defined at .*44100"),
        ({"max_grad_norm": -1}, "max_grad_norm: .* 1e9"),
        ({"precision": "float16"}, "precision: .* 'float16'"),
        ({"segment_seconds": 0.0001}, "segment_seconds: 0.0001 s is too short"),
        (
            {"segment_seconds": 0.1, "X": 8},  # 129 frames: 16 + 128 * 8
            "segment_seconds: 0.1 s .* expected 0.13 s or more",
        ),
        (
            {"segment_seconds": 0.1, "X": 8, "implementation": "stock"},
            "segment_seconds: 0.1 s .* expected 0.13 s or more",
        ),
    ],
)
def test_each_mistake_is_named(overrides, message):
    with pytest.raises(ValueError, match=message):
        check(overrides)


@pytest.mark.parametrize("task", ["es", "XX", ""])
def test_unknown_task(task):
    with pytest.raises(ValueError, match="task: expected one of ES, EB, SB"):
        check({"task": task})


def test_all_mistakes_are_reported_at_once():
    with pytest.raises(ValueError) as caught:
        check({"stride": 4, "causal": True, "n_test": -1})
    for key in ("stride", "causal", "n_test"):
        assert f"\n- {key}: " in str(caught.value)


@pytest.mark.parametrize("task, warned", [("ES", 1), ("EB", 1), ("SB", 0)])
def test_c_is_allowed_when_named_and_warned_of(task, warned, caplog):
    with caplog.at_level(logging.WARNING):
        check({"task": task, "test_variants": ["SER", "C"]})
    assert caplog.text.count("test_variants names C") == warned


def test_good_configurations_pass():
    check({"task": "SB"})
    check({"causal": True, "norm_type": "cLN"})
    check({"kernel_size": 32, "stride": 16, "n_train": 10, "n_valid": None})
    check({"segment_seconds": None})
    check({"curriculum": [{"epoch": 1, "variants": ["R", "SR", "S"]}]})


def precisions(caplog, hparams, **options):
    """What Brain would use, and whether a fall back was logged."""
    options = RunOptions.from_dictionary(options)
    with caplog.at_level(logging.WARNING):
        options = supported_options(hparams, options)
    used = [
        options[key] if key in options.overridden_args else hparams[key]
        for key in ("precision", "eval_precision")
    ]
    return used, caplog.text.count("fp16 needs a CUDA GPU")


def test_cpu_falls_back_to_fp32_and_says_so(caplog):
    hparams = {"precision": "fp16", "eval_precision": "bf16"}
    found = precisions(caplog, hparams, device="cpu")
    assert found == (["fp32", "bf16"], 1)


def test_apple_silicon_falls_back_too(caplog):
    """There Brain would use fp16 without scaling the loss."""
    hparams = {"precision": "fp16", "eval_precision": "fp32"}
    found = precisions(caplog, hparams, device="mps")
    assert found == (["fp32", "fp32"], 1)


def test_command_line_precision_falls_back_too(caplog):
    hparams = {"precision": "fp32", "eval_precision": "fp32", "device": "cpu"}
    found = precisions(caplog, hparams, eval_precision="fp16")
    assert found == (["fp32", "fp32"], 1)


def test_a_gpu_keeps_fp16(caplog):
    hparams = {"precision": "fp16", "eval_precision": "fp32"}
    found = precisions(caplog, hparams, device="cuda:0")
    assert found == (["fp16", "fp32"], 0)


@pytest.mark.parametrize(
    "given, minutes",
    [
        ({}, 10),
        ({"ckpt_interval_steps": 5}, 0),
        ({"ckpt_interval_minutes": 3}, 3),
    ],
)
def test_steps_between_checkpoints_replace_minutes(given, minutes):
    hparams = {"precision": "fp32", "ckpt_interval_minutes": 10}
    options = RunOptions.from_dictionary({"device": "cpu", **given})
    options = supported_options(hparams, options)
    key = "ckpt_interval_minutes"
    used = options[key] if key in options.overridden_args else hparams[key]
    assert used == minutes


def test_nothing_to_test_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a checkpoint to test"):
        check_checkpoint(
            {
                "save_folder": tmp_path,
                "checkpointer": Checkpointer(tmp_path),
                "init_from": None,
            }
        )


@pytest.mark.parametrize(
    "value, refused", [("1", True), ("y", True), ("0", False), ("false", False)]
)
def test_the_switch_that_lets_checkpoints_run_code_is_refused(
    monkeypatch, value, refused
):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", value)
    if not refused:
        check({})
        return
    with pytest.raises(ValueError, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        check({})


@pytest.mark.parametrize(
    "package, installed, refused",
    [
        ("speechbrain", "1.1.1", True),
        ("speechbrain", "1.1.10", False),
        ("torch", "2.5.1+cu124", True),
        ("torch", "2.11.0+cu128", False),
    ],
)
def test_versions_that_run_code_of_checkpoints_are_refused(
    monkeypatch, package, installed, refused
):
    others = checks.version
    monkeypatch.setattr(
        checks,
        "version",
        lambda name: installed if name == package else others(name),
    )
    if not refused:
        check({})
        return
    with pytest.raises(
        ValueError, match=f"{package} {installed[:5]}.*run code"
    ):
        check({})
