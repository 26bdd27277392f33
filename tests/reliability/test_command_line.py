"""What is given on the command line of train.py is what the YAML holds."""

import os
import subprocess
import sys

import pytest
from hyperpyyaml import resolve_references
from recipe import HPARAMS, SAMPLES, SEPARATION
from reliability.command_line import quoted
from ruamel.yaml import YAML

import speechbrain as sb

PATH = str(HPARAMS / "convtasnet.yaml")


def loaded(*words, path=PATH):
    """The YAML with these words, as SpeechBrain and HyperPyYAML read it."""
    path, _, overrides = sb.parse_arguments(quoted([path, *words]))
    with open(path, encoding="utf-8") as file:
        return YAML().load(resolve_references(file, overrides).read())


@pytest.fixture
def small(tmp_path):
    """A YAML with folders."""
    path = tmp_path / "small.yaml"
    path.write_text(
        "seed: 1\noutput_folder: !ref results/<seed>\n"
        "save_folder: !ref <output_folder>/save\nuse: [!ref <save_folder>/a]\n"
    )
    return str(path)


@pytest.mark.parametrize(
    "name",
    "runs/lr=0.001|run #1|1234|1e3|yes|a: b|- a|[x]|{x}|it's|@x|%x|*x|!x|a=b=c|"
    "2*3|0x10|2026-01-01|mój projekt|\t and\nline| blanks |back\\slash|,|a--b".split(
        "|"
    ),
)
def test_a_folder_keeps_its_name(small, name):
    for words in ([f"--output_folder={name}"], ["--output_folder", name]):
        yaml = loaded(*words, path=small)
        assert yaml["output_folder"] == name
        assert yaml["save_folder"] == f"{name}/save"
        assert yaml["use"] == [f"{name}/save/a"]


def test_a_folder_may_begin_as_an_option_does(small):
    assert loaded("--output_folder=--x", path=small)["output_folder"] == "--x"


def test_values_of_other_keys_are_those_given():
    home = os.path.expanduser("~")
    given = {
        "variants": ("[SER, S]", ["SER", "S"]),
        "data_folder": (
            "[~/a=b, '/c d#e', 12]",
            [f"{home}/a=b", "/c d#e", "12"],
        ),
        "init_from": ("null", None),
        "n_train": ("null", None),
        "segment_seconds": ("null", None),
        "save_audio": ("all", "all"),
        "curriculum": ("[{epoch: 2, variants: [R]}]",)
        + ([{"epoch": 2, "variants": ["R"]}],),
        "lr": ("1e-3", 0.001),
        "weight_decay": ("0", 0),
        "causal": ("true", True),
        "task": ("'SB'", "SB"),
        "loss_name": ("a=b", "a=b"),
        "early_stopping_epochs": ("3", 3),
    }
    yaml = loaded(*(f"--{key}={text}" for key, (text, _) in given.items()))
    assert {key: yaml[key] for key in given} == {
        key: expected for key, (_, expected) in given.items()
    }
    yaml = loaded(
        "--data_folder", "~", "--gain_db", "3", "--seed=1", "--seed=1"
    )
    assert (yaml["data_folder"], yaml["gain_db"], yaml["seed"]) == (home, 3, 1)


@pytest.mark.parametrize(
    "words, message",
    [
        ("--seed=1 --seed=2", "seed: given twice"),
        ("--device=cpu --device=cuda", "device: given twice"),
        ("--seed=abc", "seed: expected a whole number from 0 on"),
        ("--seed=-1", "seed: expected"),
        ("--seed=4294967296", "to 4294967295, found 4294967296"),
        ("--seed=", "seed: expected .* found nothing"),
        ("--seed", "seed: expected a value, as in --seed=VALUE"),
        ("--sead=1", "sead: .* has no such key; did you mean seed?"),
        ("--segment_seconds=1,5", "segment_seconds: .* above 0, found 1,5"),
        ("--segment_seconds=0", "segment_seconds: "),
        ("--batch_size=0", "batch_size: expected a whole number from 1 on"),
        ("--batch_size=2.0", "batch_size: "),
        ("--num_workers=-1", "num_workers: expected a whole number from 0 on"),
        ("--num_workers=False", "num_workers: "),
        ("--lr=0", "lr: expected a number above 0, found 0"),
        ("--lr=.nan", "lr: "),
        ("--lr=.inf", "lr: "),
        ("--lr=0,001", "lr: "),
        ("--number_of_epochs=1.5", "number_of_epochs: "),
        ("--n_train=abc", "n_train: "),
        ("--n_valid=0", "n_valid: "),
        ("--causal=1", "causal: expected True or False, found 1"),
        ("--N=0", "N: "),
        ("--metrics=pesq", r"metrics: expected a list, such as \[a, b\]"),
        ("--metrics=[pesq", "metrics: .* no YAML"),
        ("--output_folder=", "output_folder: expected a text, found nothing"),
        ("--output_folder=<N>", "output_folder: expected no <...>"),
        ("--output_folder=(1,2)", r"output_folder: .* no <...> and \(...\)"),
        ("--valid_variants=SER", "valid_variants: expected a list"),
        ("--brain_mixins=null", "brain_mixins: expected a list"),
        ("--grad_accumulation_factor=0", "grad_accumulation_factor: "),
        ("--grad_accumulation_factor=1,5", "grad_accumulation_factor: "),
        ("--precision=fp8", "precision: .* 'fp8'"),
        ("--precis=bf16", "did you mean precision?"),
        ("--output_folder=my run", "run: no value of an option"),
        ("-seed=1", "-seed 1: no value"),
    ],
)
def test_what_cannot_be_is_named(words, message):
    with pytest.raises(ValueError, match=message) as error:
        quoted([PATH, *words.split()])
    assert len(str(error.value).splitlines()) == 1


def test_a_mistake_takes_one_line(server, tmp_path):
    for option, name in (
        ("--seed=abc", "seed"),
        ("--ema_decay=2", "ema_decay"),
    ):
        ended = server.train(tmp_path / "run", option)
        assert ended.code == 1
        last = ended.output.splitlines()[-1]
        assert last.startswith(f"error: {name}: expected"), ended.output
        assert "Traceback" not in ended.output
    # It is for those who look for it.
    assert "Traceback" in (tmp_path / "run/log.txt").read_text()


def test_a_process_without_a_gpu_says_what_to_add(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for rank, backend, is_refused in (
        (0, "nccl", False),
        (1, "nccl", True),
        (1, "gloo", False),
    ):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        words = [PATH, f"--distributed_backend={backend}"]
        if is_refused:
            with pytest.raises(ValueError, match="found 1; add --distr.*=gloo"):
                quoted(words)
        else:
            assert quoted(words) == words


@pytest.mark.nightly
def test_torchrun_without_gpus_says_what_to_add(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        + ["--nproc_per_node=1", "train.py", PATH, f"--data_folder={SAMPLES}"]
        + [f"--output_folder={tmp_path / 'run'}"],
        cwd=SEPARATION,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    said = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert done.returncode == 1 and len(said) == 1
    assert "add --distributed_backend=gloo" in said[0]
    assert not (tmp_path / "run").exists()


def test_a_list_may_hold_what_json_does_not_know():
    yaml = loaded("--metrics=[a=b, 2026-01-02]")
    assert yaml["metrics"] == ["a=b", "2026-01-02"]
