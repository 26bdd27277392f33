"""Facts about a run that its page shows, from the files in its folder.

Authors
 * The PolSESS recipe team 2026
"""

import os
import shlex
from pathlib import Path

import yaml
from runs.record import RECORD, recorded_starts

TASK_NAMES = {
    "ES": "ES, enhance a single speaker",
    "EB": "EB, enhance both speakers",
    "SB": "SB, separate both speakers",
}
PACKAGES = ("torch", "speechbrain")


def last_start(run):
    """Returns the record of a run's last start; empty where there is none."""
    return (recorded_starts(run) or [{}])[-1]


def read_yaml(run):
    """Reads the resolved YAML of a run, without running it.

    Raises ValueError where the file is not YAML.

    Arguments
    ---------
    run : str
        Output folder of a training.

    Returns
    -------
    text : str
        The YAML of the last start; empty where there is none.
    settings : dict
        The keys whose values are plain.
    """
    # A start that was refused overwrites hyperparams.yaml, but not the record.
    recorded = Path(run, RECORD, str(last_start(run).get("hyperparams")))
    path = recorded if recorded.is_file() else Path(run, "hyperparams.yaml")
    if not path.is_file():
        return "", {}
    text = path.read_text(encoding="utf-8")
    settings = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        for key, node in getattr(root, "value", []):
            try:
                value = yaml.SafeLoader("").construct_document(node)
            except yaml.constructor.ConstructorError:  # an object
                continue
            settings[key.value] = value
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a YAML file: {error}") from error
    return text, settings


def run_facts(run, task, settings, curve, trained):
    """Lists what was run, with which settings, on which machine.

    Arguments
    ---------
    run : str
        Output folder of a training or a test.
    task : str
        ES, EB or SB.
    settings : dict
        See ``read_yaml``.
    curve : pd.DataFrame
        See ``runs.read_curve``.
    trained : inference.trained.Trained
        The tested model; None where its checkpoint is gone.

    Returns
    -------
    dict
        Name -> text, in the order to be shown; what is unknown is left out.
    """
    start = last_start(run)
    n_epochs = int(curve["epoch"].max()) if len(curve) else 0
    seed = settings.get("seed")
    facts = {"System": _system_name(run, seed), "Task": TASK_NAMES[task]}
    if start:
        command = shlex.split(start["command"])
        facts["YAML"], facts["Overrides"] = _split_arguments(command)
        facts["Commit"] = start["commit"]
    if trained is not None:
        weights = trained.separator.parameters()
        facts["Parameters"] = f"{sum(w.numel() for w in weights):,}"
    if start:
        facts["Device"] = start["device"]
    known = {**settings, **start}
    stages = {"training": known.get("precision") if n_epochs else None}
    stages["test"] = known.get("eval_precision", known.get("precision"))
    precisions = [f"{stage} {p}" for stage, p in stages.items() if p]
    if precisions:
        facts["Precision"] = ", ".join(precisions)
    facts.update(_training_facts(settings, n_epochs, trained))
    packages = start.get("packages", {})
    versions = {"Python": start.get("python")}
    versions.update((name, packages.get(name)) for name in PACKAGES)
    versions = [f"{name} {found}" for name, found in versions.items() if found]
    if versions:
        facts["Versions"] = ", ".join(versions)
    return facts


def _training_facts(settings, n_epochs, trained):
    """How the model was trained, or where it was loaded from."""
    facts = {}
    if settings.get("init_from"):
        facts["Model"] = str(settings["init_from"])
    if n_epochs:
        limit = settings.get("number_of_epochs", "an unknown number")
        facts["Seed"] = str(settings.get("seed", "unknown"))
        facts["Epochs"] = f"{n_epochs} of {limit}"
        if trained is not None and "si_sdri" in trained.meta:
            facts["Best epoch"] = (
                f"{trained.meta['epoch']}, validation SI-SDRi "
                f"{trained.meta['si_sdri']:.2f} dB"
            )
    return facts


def _system_name(output_folder, seed):
    """The folder of a run, and the one above if that is the seed."""
    folders = os.path.abspath(output_folder).split(os.sep)
    n_names = 2 if folders[-1] == str(seed) else 1
    return "/".join(folders[-n_names:])


def _split_arguments(arguments):
    """The YAML of a command line, and its overrides to paste into a shell."""
    words = list(arguments[1:])
    yamls = [w for w in words if w.endswith((".yaml", ".yml"))]
    yaml_file = next((w for w in yamls if not w.startswith("--")), "unknown")
    if yaml_file in words:
        words.remove(yaml_file)
    return yaml_file, " ".join(map(shlex.quote, words)) or "none"
