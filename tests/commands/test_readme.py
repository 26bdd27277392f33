"""The commands of the READMEs, run as they stand, in their order.

Only what would take long is replaced: the corpus by a tiny one, sizes and numbers by
small ones. Other tests run each script as a process of its own.
"""

import os
import re
import shlex
import shutil

import numpy as np
import pytest
import soundfile
from corpora import make_corpus
from made_runs import make_run
from recipe import ROOT, SAMPLES, SEPARATION, commands_of
from server import TINY
from tiny_networks import (
    BY_NAME,
    TINY as TINY_FLAGS,
)
from torch.distributed.run import get_args_parser

RECIPE = SEPARATION.parent
READMES = [ROOT / "README.md", RECIPE / "README.md", SEPARATION / "README.md"]
SMALL = [
    *(option for option in TINY if "epochs" not in option),
    "--number_of_epochs=1",
    "--metrics=[si_sdr]",
]
MODEL_KEYS = tuple(
    f"--{key}=" for key in "N B H X R kernel_size stride".split()
)
TINY_SIZES = {
    BY_NAME[name].hparams: flags for name, flags in TINY_FLAGS.items()
}
# Other tests run these.
ELSEWHERE = ("../../../benchmarks/", "simulate/", "sources/", "official/")
SERVER = "--storage=postgresql"  # none is at hand
NUMBER = re.compile(r"(--n_(?!trials)\w+)[= ]\d+")


@pytest.fixture
def desk(tmp_path):
    """A folder with the data, recordings and the model that READMEs speak of."""
    data = tmp_path / "data"
    shutil.copytree(SAMPLES, data / "PolSESS")
    shutil.copytree(
        ROOT / "tests/samples/PolSESS_Libri2Mix", data / "Libri2Mix"
    )
    for seed, (name, counts) in enumerate([("in", (1, 0)), ("out", (0, 1))]):
        subsets = dict.fromkeys(("train", "val", "test"), counts)
        make_corpus(data / f"PolSESS_C_{name}", subsets, seed=seed)
    noise = 0.1 * np.random.default_rng(0).standard_normal((20_000, 2))
    names = (
        "meeting.wav",
        "recordings/a.wav",
        "calls/b.flac",
        "demo/PolSESS/test/mix/c.wav",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, noise, 16000)
    make_run(tmp_path / "demo/convtasnet_ES")
    (tmp_path / "hparams").symlink_to(SEPARATION / "hparams")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/real").symlink_to(ROOT / "results/real")
    return tmp_path


def small(command, desk):
    """The words of a command, on the desk's data and of small sizes."""
    command = re.sub(r"(?<=[= \[])/(?:data|path/to)/", f"{desk}/data/", command)
    words = shlex.split(NUMBER.sub(r"\1=2", command))
    if words[1] == "tune.py":  # a trial is a process that imports torch
        words = [word for word in words if "--number_of_epochs" not in word]
        return [*words, "--n_trials=1", *SMALL[:-1]]
    if words[1] != "train.py":
        return words
    # Samples are shorter than segments.
    words = [word for word in words if "--segment_seconds" not in word]
    usual = SMALL
    name = words[2].removeprefix("hparams/")
    if name in TINY_SIZES and name != "convtasnet.yaml":
        sizes = TINY_SIZES[name].split()
        keys = tuple(size.partition("=")[0] + "=" for size in sizes)
        words = [word for word in words if not word.startswith(keys)]
        usual = [*sizes, *(o for o in SMALL if not o.startswith(MODEL_KEYS))]
    given = {word.partition("=")[0] for word in words}
    options = [o for o in usual if o.partition("=")[0] not in given]
    if "libri2mix" in command:
        shared = ("--num_workers", "--noprogressbar", "--device", "--metrics")
        options = [o for o in options if o.startswith(shared)]
    if "--variants" in command or "--curriculum" in command:
        # Each model in a folder of its own.
        options.append(f"--output_folder={desk}/other{len(command)}")
    return [*words, *options]


def check_other(words, path):
    """Checks a command that a test cannot run: what it names exists."""
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert f"\n{words[1]}:" in makefile
    elif words[0] == "torchrun":
        actions = get_args_parser()._actions
        known = {option for a in actions for option in a.option_strings}
        given = {
            w.partition("=")[0] for w in words[1 : words.index("train.py")]
        }
        assert given <= known
    elif words[0] == "cd":
        assert (path.parent / words[1]).is_dir()
    elif words[:2] == ["pip", "install"]:
        assert words[2] != "-r" or (path.parent / words[3]).is_file()
    else:
        is_known = SERVER in " ".join(words) or words[1].startswith(ELSEWHERE)
        assert words[0] == "tensorboard" or is_known, words


@pytest.mark.parametrize(
    "path", READMES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_commands_of_a_readme_run(path, server, desk):
    commands = commands_of(path)
    runs = 0
    for command in commands:
        words = small(command, desk)
        is_other = words[1].startswith(ELSEWHERE) or SERVER in command
        if is_other or not words[0].endswith("python"):
            check_other(words, path)
            continue
        places = [x / words[1] for x in (path.parent, SEPARATION, ROOT)]
        script = next(place for place in places if place.exists())
        ended = server.call(desk, script, *words[2:], limit_seconds=120)
        assert ended.code == 0, f"{command}\n{ended.output[-3000:]}"
        runs += 1
    assert runs >= 2


def test_the_example_of_the_readme_logs_to_wandb(server, tmp_path):
    readme = (SEPARATION / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n( +- .*?)```", readme, re.S)
    text = (SEPARATION / "hparams/convtasnet.yaml").read_text(encoding="utf-8")
    (tmp_path / "wandb.yaml").write_text(text + example, encoding="utf-8")
    ended = server.train(
        tmp_path / "run",
        *["--metrics=[si_sdr]", "--number_of_epochs=1"],
        name=os.path.relpath(tmp_path / "wandb.yaml", SEPARATION / "hparams"),
        environment={"WANDB_MODE": "offline"},
    )
    assert ended.code == 0, ended.output[-3000:]
    assert list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
