"""Run options: they work, or are refused before any data is read."""

import math

import pytest
import torch
from reliability.run_options import check_run_options
from toy_brain import fit, toy

import speechbrain as sb

MODULES = {"net": torch.nn.Linear(1, 1)}


def checked(*arguments, **yaml):
    """The options of a command line and a YAML, checked."""
    _, run_opts, _ = sb.parse_arguments(["x.yaml", *arguments])
    return check_run_options(run_opts, yaml, MODULES)


def test_a_step_limit_of_the_command_line_ends_the_training(tmp_path):
    _, run_opts, _ = sb.parse_arguments(["x.yaml", "--optimizer_step_limit=2"])
    assert run_opts.optimizer_step_limit == "2"  # SpeechBrain's text
    brain = toy(tmp_path, optimizer_step_limit="2")
    assert fit(brain) == -(1 + 2) and brain.optimizer_step == 2


def test_a_negative_norm_disables_clipping(tmp_path):
    assert checked("--max_grad_norm=-1").max_grad_norm == math.inf
    assert fit(toy(tmp_path, max_grad_norm=-1.0)) == -7


def test_the_interval_of_the_command_line_wins(tmp_path):
    options = checked("--ckpt_interval_steps=7", ckpt_interval_minutes=10)
    assert options.ckpt_interval_steps == 7
    assert options.ckpt_interval_minutes == 0
    assert "ckpt_interval_minutes" in options.overridden_args
    options = checked("--ckpt_interval_minutes=5", ckpt_interval_steps=7)
    assert options.ckpt_interval_minutes == 5
    assert options.ckpt_interval_steps == 0
    toy(tmp_path, ckpt_interval_steps=3)


def test_values_of_a_yaml_are_converted_and_marked_only_if_changed():
    options = checked(max_grad_norm="5e0", ckpt_interval_minutes=0.5)
    assert options.max_grad_norm == 5 and options.ckpt_interval_minutes == 0.5
    assert options.overridden_args == {"max_grad_norm"}


@pytest.mark.parametrize(
    "arguments, yaml, message",
    [
        (["--optimizer_step_limit=many"], {}, "limit: expected a number"),
        (["--optimizer_step_limit=1.5"], {}, "limit: expected a number"),
        (["--optimizer_step_limit=0"], {}, "limit: expected 1 or more"),
        (["--grad_accumulation_factor=0"], {}, "factor: expected 1 or more"),
        (["--debug_batches=0"], {}, "batches: expected 1 or more"),
        (["--max_grad_norm=0"], {}, "max_grad_norm: expected a number above 0"),
        (["--max_grad_norm=nan"], {}, "max_grad_norm: expected a number"),
        (["--nonfinite_patience=-1"], {}, "patience: expected 0 or more"),
        (["--compile_mode=fast"], {}, "compile_mode: expected one of default,"),
        (["--distributed_backend=x"], {}, "backend: expected one of nccl,"),
        (["--compile_module_keys", "x"], {}, "keys: expected some of net"),
        (["--jit_module_keys", "net", "x"], {}, "keys: expected some of net"),
        (["--compile_module_keys", "net"], {}, "no effect without --compile"),
        (["--log_config=x.yaml"], {}, "SpeechBrain ignores it"),
        (["--device=cup"], {}, "device: cup is not usable"),
        (["--device=cuda:99"], {}, "device: cuda:99 is not usable"),
        (["--precis=bf16"], {}, "precision: found an abbreviation of it"),
        ([], {"precision": "fp8"}, "precision: expected one of fp32, fp16"),
        ([], {"eval_precision": 16}, "eval_precision: expected one of"),
        ([], {"test_only": "yes"}, "test_only: expected True or False"),
        ([], {"max_grad_norm": True}, "max_grad_norm: expected a number"),
        ([], {"max_grad_norm": None}, "max_grad_norm: expected a number"),
        (
            [],
            {"ckpt_interval_minutes": 1, "ckpt_interval_steps": 1},
            "ckpt_interval_minutes: give one of them",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, yaml, message):
    with pytest.raises(ValueError, match=message):
        checked(*arguments, **yaml)


def test_the_default_options_and_those_that_fit_are_left_alone():
    given = ["--compile_mode=max-autotune-no-cudagraphs", "--jit"]
    options = checked(
        *given, "--jit_module_keys", "net", optimizer_step_limit=None
    )
    assert options.overridden_args == {"compile_mode", "jit", "jit_module_keys"}
    assert options.optimizer_step_limit is None
    assert check_run_options(None, None, {}).overridden_args == set()


def test_a_module_that_torchscript_cannot_compile_is_refused():
    class Cannot(torch.nn.Module):
        """Takes what TorchScript does not know."""

        def forward(self, *inputs, **options):
            """Returns it."""
            return inputs

    _, run_opts, _ = sb.parse_arguments(["x.yaml", "--jit"])
    with pytest.raises(ValueError, match="--jit: .* module net .*--compile"):
        check_run_options(run_opts, {}, {"net": Cannot()})
