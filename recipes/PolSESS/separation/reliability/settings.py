"""What decides about the result of a training, compared when it is resumed.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import json
import os
import re
from pathlib import Path

import yaml
from hyperpyyaml import resolve_references
from options import option_value
from reliability.checksums import to_disk

from speechbrain.utils.checkpoints import CKPT_PREFIX
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

SETTINGS = "settings.json"
# What may change between the parts of a training. All else decides about its
# result.
FREE = set(
    "output_folder save_folder train_log data_folder skip_prep audit "
    "on_bad_rows packed_folder prepare resume_changed init_from test_variants "
    "n_test number_of_epochs "
    "num_workers persistent_workers prefetch_factor pin_memory "
    "ckpt_interval_minutes eval_precision metrics cache_folder save_audio "
    "compile compile_module_keys "  # see below
    "strata latex tensorboard wandb wandb_board scorer audio_writer reporter "
    "epoch_counter checkpointer train_logger boards".split()
)
RUN_OPTIONS = (
    "precision",
    "grad_accumulation_factor",
    "max_grad_norm",
    "remove_vector_weight_decay",
)


def resolved_yaml(hparams_file, overrides):
    """A YAML with its overrides, references replaced by values.

    Arguments
    ---------
    hparams_file : str
        The YAML.
    overrides : str
        Those of the command line, as YAML.

    Returns
    -------
    str
        To be loaded by load_hyperpyyaml.
    """
    with open(hparams_file, encoding="utf-8") as file:
        return resolve_references(file, overrides).read()


def settings_of(hparams, run_opts, hparams_file, overrides):
    """What decides about the result of a training.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, after the preparation.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.
    hparams_file : str
        The YAML.
    overrides : str
        Those of the command line, as YAML.

    Returns
    -------
    dict
        Name -> value that JSON can hold; the data by the hash of its manifests.
    """
    settings = {}
    constants = _constants(hparams_file, overrides)
    for key, value in hparams.items():
        if key in FREE or key.startswith("__"):
            continue
        try:
            if isinstance(value, dict):  # of a data loader
                raise TypeError
            settings[key] = json.loads(json.dumps(value))
        except TypeError:  # objects: by what the YAML makes them from
            settings.update(constants.get(key, {}))
    for key in RUN_OPTIONS:
        settings[key] = option_value(key, hparams, run_opts)
    modules = option_value("compile_module_keys", hparams, run_opts)
    is_compiled = option_value("compile", hparams, run_opts)
    if is_compiled and "separator" in (modules or ["separator"]):
        mode = option_value("compile_mode", hparams, run_opts)
        settings["compile"] = mode or "default"
    settings["processes"] = int(os.environ.get("WORLD_SIZE", 1))
    for split in ("train", "valid"):
        digest = hashlib.sha256()
        for path in sorted(Path(hparams["save_folder"]).glob(f"{split}_*.csv")):
            digest.update(path.read_bytes())
        settings[f"{split} data (hash)"] = digest.hexdigest()[:16]
    return settings


def _constants(hparams_file, overrides):
    """Key of a YAML -> path of each value below it that is its own -> value."""
    with open(hparams_file, encoding="utf-8") as file:
        written = dict(_values_in(yaml.compose(file.read())))
    values = dict(
        _values_in(yaml.compose(resolved_yaml(hparams_file, overrides)))
    )
    constants = {}
    for path, value in values.items():
        reference = re.fullmatch("!ref <(.*)>", str(written.get(path)))
        # Lists and objects are aliases by now, others copies.
        if reference and value in (
            f"<{reference[1]}>",
            values.get(reference[1]),
        ):
            continue
        constants.setdefault(path.partition(".")[0], {})[path] = value
    return constants


def _values_in(node, path="", seen=None):
    """The paths and values below a node; an alias is named, not repeated."""
    seen = {} if seen is None else seen
    tag = node.tag if node.tag.startswith("!") else ""
    if path.rpartition(".")[2] in FREE:
        return
    if isinstance(node, yaml.ScalarNode):
        text = f"{tag} {node.value}".strip()
        yield path, text if tag else _number(node.value)
    elif id(node) in seen:
        yield path, f"<{seen[id(node)]}>"
    else:
        seen[id(node)] = path
        if tag:
            yield path, tag
        pairs = enumerate(node.value)
        if isinstance(node, yaml.MappingNode):
            pairs = ((name.value, value) for name, value in node.value)
        for name, value in pairs:
            below = f"{path}.{name}" if path else name
            yield from _values_in(value, below, seen)


def _number(text):
    """The number that a text stands for, or the text: 1e-3 is 0.001."""
    try:
        return float(text)
    except ValueError:
        return text


def check_settings(
    hparams, run_opts, hparams_file, overrides, resume_changed=False
):
    """Refuses to resume a training with other settings.

    Raises ValueError that names each difference, unless ``resume_changed``. The
    settings count from ``keep_settings`` on: until then those that are kept are
    those of the checkpoints.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, after the preparation.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.
    hparams_file : str
        The YAML.
    overrides : str
        Those of the command line, as YAML.
    resume_changed : bool
        Whether to go on with other settings, with a warning for each.
    """
    path = Path(hparams["save_folder"]) / SETTINGS
    new = settings_of(hparams, run_opts, hparams_file, overrides)
    # Damaged ones too: they stop the run later.
    if path.is_file() and list(path.parent.glob(f"{CKPT_PREFIX}+*")):
        old = _settings_in(path)
        differences = [
            f"{key}: {old.get(key, 'none')} before, {new.get(key, 'none')} now"
            for key in sorted(set(old) | set(new))
            if old.get(key) != new.get(key)
        ]
        if differences and not resume_changed:
            raise ValueError(
                f"{hparams['output_folder']} holds a training with other "
                "settings:\n- " + "\n- ".join(differences) + "\nName another "
                "--output_folder, or go on with --resume_changed=True"
            )
        for difference in differences:
            logger.warning(f"resumed with another setting: {difference}")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(new, indent=1), encoding="utf-8")
    to_disk(partial)


def keep_settings(save_folder):
    """Keeps the settings that were checked, the checkpoint having been loaded.

    Arguments
    ---------
    save_folder : str
        Of the run.
    """
    path = Path(save_folder) / SETTINGS
    partial = path.with_suffix(".partial")
    if partial.exists():
        os.replace(partial, path)


def _settings_in(path):
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        return {**old}
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}), so nothing tells whether the "
            "settings have changed; if they have not, delete it and go on"
        ) from error
