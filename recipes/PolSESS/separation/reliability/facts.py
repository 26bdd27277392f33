"""Facts about a run that its report shows.

Authors
 * The PolSESS recipe team 2026
"""

import os
import platform
import shlex
import subprocess
from importlib.metadata import version

import torch

TASK_NAMES = {
    "ES": "ES, enhance a single speaker",
    "EB": "EB, enhance both speakers",
    "SB": "SB, separate both speakers",
}
# Of the repository; the others hold figures.
CODE = (":(top)", ":(top,exclude)results", ":(top,exclude)README.md")


def run_facts(brain, arguments):
    """What was run, with what, on what.

    Arguments
    ---------
    brain : speechbrain.Brain
        With a checkpointer, after its best checkpoint has been loaded.
    arguments : list of str
        The command line, the script first.

    Returns
    -------
    dict
        Name -> text, in the order to be shown.
    """
    hparams = brain.hparams
    yaml, overrides = split_arguments(arguments)
    parameters = sum(p.numel() for p in brain.modules.parameters())
    return {
        "System": system_name(hparams.output_folder, hparams.seed),
        "Task": TASK_NAMES[hparams.task],
        "YAML": yaml,
        "Overrides": overrides,
        "Commit": commit(),
        "Parameters": f"{parameters:,}",
        "Device": device_name(brain.device),
        **_training_facts(brain),
        "Versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in ("torch", "speechbrain")]
        ),
    }


def _training_facts(brain):
    """How the model was trained, or where it was loaded from."""
    hparams = brain.hparams
    if brain.checkpointer is None:
        return {
            "Precision": f"test {brain.eval_precision}",
            "Model": str(hparams.init_from),
        }
    best = brain.checkpointer.find_checkpoint(max_key="si_sdri")
    # The epoch counter is by now that of the best checkpoint.
    saved = brain.checkpointer.list_checkpoints()
    epochs = max((c.meta.get("epoch", 0) for c in saved), default=0)
    facts = {
        "Precision": f"training {brain.precision}, test {brain.eval_precision}",
        "Seed": str(hparams.seed),
        "Epochs": f"{epochs} of {hparams.number_of_epochs}",
        "Best epoch": "none: loaded weights",
    }
    if best is not None:
        facts["Best epoch"] = (
            f"{best.meta['epoch']}, validation SI-SDRi "
            f"{best.meta['si_sdri']:.2f} dB"
        )
    return facts


def system_name(output_folder, seed):
    """What to call a run: its folder, and the one above if that is the seed.

    Arguments
    ---------
    output_folder : str
        Of the run.
    seed : int
        Of the run.

    Returns
    -------
    str
        Never empty.

    Example
    -------
    >>> system_name("results/convtasnet_ES/1234", 1234)
    'convtasnet_ES/1234'
    >>> system_name("results/mine/", 1234)
    'mine'
    """
    folders = os.path.abspath(output_folder).split(os.sep)
    n_names = 2 if folders[-1] == str(seed) else 1
    return "/".join(folders[-n_names:])


def split_arguments(arguments):
    """The YAML of a command line, and all else that it says.

    Arguments
    ---------
    arguments : list of str
        The script first.

    Returns
    -------
    yaml : str
        As it was given.
    overrides : str
        To be pasted into a shell; "none" without any.

    Example
    -------
    >>> split_arguments(["train.py", "a.yaml", "--task", "SB", "--metrics=[]"])
    ('a.yaml', "--task SB '--metrics=[]'")
    """
    words = list(arguments[1:])
    yamls = [w for w in words if w.endswith((".yaml", ".yml"))]
    yaml = next((w for w in yamls if not w.startswith("--")), "unknown")
    if yaml in words:
        words.remove(yaml)
    return yaml, " ".join(map(shlex.quote, words)) or "none"


def commit():
    """The commit of the recipe, with a mark where files differ from it.

    The folder results and README.md at the top do not count: they hold figures,
    which come from the others.

    Returns
    -------
    str
        "unknown" outside a git repository, or without git.
    """
    try:
        described = _git("describe", "--always", "--abbrev=12")
        changed = _git("diff", "--quiet", "HEAD", "--", *CODE)
    except OSError:  # no git
        return "unknown"
    if described.returncode or changed.returncode not in (0, 1):
        return "unknown"
    return described.stdout.strip() + "-dirty" * changed.returncode


def _git(*arguments):
    """Runs git on the repository of this file."""
    return subprocess.run(
        ["git", *arguments],
        cwd=os.path.dirname(os.path.abspath(__file__)),
        capture_output=True,
        text=True,
        check=False,
    )


def device_name(device):
    """The processor that a device stands for.

    Arguments
    ---------
    device : str or torch.device
        For instance cpu, cuda:0.

    Returns
    -------
    str
        With its name as far as the system tells it.
    """
    if str(device).startswith("cuda"):
        return f"{device}, {torch.cuda.get_device_name(device)}"
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    name = line.split(": ", 1)[1].strip()
                    break
    return f"{device}, {os.cpu_count()} cores of {name}"
