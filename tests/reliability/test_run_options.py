"""Run options and the machine's defaults: they work, or are refused at once."""

import math

import pytest
import torch
from reliability.defaults import default_precision, leave_one_core_free
from reliability.run_options import check_run_options
from toys import fit, toy

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


@pytest.mark.parametrize(
    "arguments, yaml, changed",
    [
        # The interval of the command line wins.
        (
            ["--ckpt_interval_steps=7"],
            {"ckpt_interval_minutes": 10},
            {"ckpt_interval_steps": 7, "ckpt_interval_minutes": 0},
        ),
        (
            ["--ckpt_interval_minutes=5"],
            {"ckpt_interval_steps": 7},
            {"ckpt_interval_steps": 0, "ckpt_interval_minutes": 5},
        ),
        ([], {"ckpt_interval_minutes": 0.5, "ckpt_interval_steps": 0}, {}),
        (["--max_grad_norm=2"], {"max_grad_norm": 3}, {"max_grad_norm": 2}),
        ([], {"max_grad_norm": "5e0", "lr": "x"}, {"max_grad_norm": 5}),
        ([], {"optimizer_step_limit": None, "precision": "bf16"}, {}),
        (
            ["--compile_mode=max-autotune-no-cudagraphs", "--jit"]
            + ["--jit_module_keys", "net"],
            {},
            {
                "compile_mode": "max-autotune-no-cudagraphs",
                "jit": True,
                "jit_module_keys": ["net"],
            },
        ),
    ],
)
def test_options_are_converted_and_marked_if_given_or_changed(
    arguments, yaml, changed
):
    options = checked(*arguments, **yaml)
    assert options.overridden_args == set(changed)
    known = {k: v for k, v in yaml.items() if k != "lr"}
    for name, value in {**known, **changed}.items():
        assert options[name] == value


def test_without_options_all_are_the_default():
    assert check_run_options(None, None, {}).overridden_args == set()


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


def test_a_module_that_torchscript_cannot_compile_is_refused():
    class Cannot(torch.nn.Module):
        """Takes what TorchScript does not know."""

        def forward(self, *inputs, **options):
            """Returns it."""
            return inputs

    _, run_opts, _ = sb.parse_arguments(["x.yaml", "--jit"])
    with pytest.raises(ValueError, match="--jit: .* module net .*--compile"):
        check_run_options(run_opts, {}, {"net": Cannot()})


@pytest.mark.parametrize(
    "has_gpu, has_bf16, precision",
    [(False, False, "fp32"), (True, False, "fp16"), (True, True, "bf16")],
)
def test_the_precision_is_what_the_gpu_computes_in(
    monkeypatch, has_gpu, has_bf16, precision
):
    def is_supported(including_emulation=True):
        """Any GPU emulates it, slowly."""
        return has_bf16 or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert default_precision() == precision
    without = default_precision(fp16=False)
    assert without == precision.replace("fp16", "fp32")


@pytest.mark.parametrize(
    "cores, before, threads", [(1, 1, 1), (4, 4, 3), (4, 8, 3), (8, 2, 2)]
)
def test_one_core_is_left_free(monkeypatch, cores, before, threads):
    usual = torch.get_num_threads()
    monkeypatch.setenv("SB_NUM_PROC", str(cores))
    try:
        torch.set_num_threads(before)
        leave_one_core_free()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
