"""Settings that decide the result of a training, compared at a resume.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import json
import os
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from runs.folder import fsync_path
from runs.record import resolved_yaml
from speechbrain.utils.checkpoints import CKPT_PREFIX
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

SETTINGS = "settings.json"
# Keys, at any depth of the YAML, that may differ: folders, preparation, speed,
# length of the training, logs and the test. Any other key changes the result.
MAY_DIFFER = (
    "__* *_folder init_from resume_changed skip_prep on_bad_rows prepare "
    "*_workers prefetch_factor pin_memory ckpt_* checkpointer brain_mixins "
    "gradient_checkpointing "
    "number_of_epochs early_stopping_epochs epoch_counter average_best "
    "train_loggers "
    "n_test test_* eval_precision eval_mixer metrics scorer save_audio"
).split()
RUN_OPTIONS = (
    "precision",
    "grad_accumulation_factor",
    "max_grad_norm",
    "remove_vector_weight_decay",
    "compile",
    "jit",
)


def settings_of(brain):
    """Collects what decides the result of a training.

    Arguments
    ---------
    brain : speechbrain.Brain
        Its hparams have output_folder, which holds the resolved YAML, and
        save_folder, which holds the manifests.

    Returns
    -------
    dict
        Path of a key in the YAML -> value that JSON can hold; run options; the
        number of processes; the hashes of the manifests.
    """
    text = resolved_yaml(Path(brain.hparams.output_folder))
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    # Objects are named by their own key, where others refer to them.
    names = {}
    for key, node in root.value:
        names.setdefault(id(node), key.value)
    settings = dict(_values(root, (), names))
    settings.update({name: getattr(brain, name) for name in RUN_OPTIONS})
    settings["processes"] = int(os.environ.get("WORLD_SIZE", 1))
    for split in ("train", "valid"):
        digest = hashlib.sha256()
        folder = Path(brain.hparams.save_folder)
        for path in sorted(folder.glob(f"{split}_*.csv")):
            digest.update(path.read_bytes())
        settings[f"{split} data (hash)"] = digest.hexdigest()[:16]
    return json.loads(json.dumps(settings))


def _values(node, path, names):
    """Yields path and value below a node; an alias is named, not repeated."""
    if path and any(fnmatchcase(path[-1], pattern) for pattern in MAY_DIFFER):
        return
    name = ".".join(path)
    first = names.setdefault(id(node), name)
    if first != name:
        yield name, f"<{first}>"
        return
    if not isinstance(node, yaml.MappingNode):
        try:  # a plain number, text or list
            yield name, _number(yaml.SafeLoader("").construct_document(node))
            return
        except yaml.constructor.ConstructorError:
            pass
    if isinstance(node, yaml.ScalarNode):
        yield name, f"{node.tag} {node.value}".strip()
        return
    if node.tag.startswith("!"):
        yield name, node.tag
    pairs = enumerate(node.value)
    if isinstance(node, yaml.MappingNode):
        pairs = ((key.value, value) for key, value in node.value)
    for key, value in pairs:
        yield from _values(value, (*path, str(key)), names)


def _number(value):
    """Reads 1e-3, which YAML takes for text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def check_settings(folder, settings, resume_changed=False):
    """Refuses to resume a training with other settings.

    Raises ValueError that names each difference, unless ``resume_changed``. The
    new settings count from ``keep_settings`` on. Until then those that are kept
    are those of the checkpoints.

    Arguments
    ---------
    folder : Path
        Folder of the checkpoints.
    settings : dict
        See ``settings_of``.
    resume_changed : bool
        Whether to go on with other settings, with a warning for each.
    """
    path = folder / SETTINGS
    # Damaged checkpoints count too: they stop the run later.
    if path.is_file() and list(folder.glob(f"{CKPT_PREFIX}+*")):
        differences = _differences(_settings_in(path), settings)
        if differences and not resume_changed:
            raise ValueError(
                f"{folder} holds a training with other settings:\n- "
                + "\n- ".join(differences)
                + "\nName another --output_folder, or go on with "
                "--resume_changed=True"
            )
        for difference in differences:
            logger.warning(f"resumed with another setting: {difference}")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    fsync_path(partial)


def keep_settings(folder):
    """Keeps the settings that were checked, once the checkpoint is loaded.

    Arguments
    ---------
    folder : Path
        Folder of the checkpoints.
    """
    partial = folder / f"{Path(SETTINGS).stem}.partial"
    os.replace(partial, folder / SETTINGS)


def _differences(old, new):
    """Describes each changed key, but for nested ones that follow another key.

    ``opt_class.lr`` changes as ``lr`` does; ``lr`` alone is named.
    """
    changed = {
        key: (old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    }
    named = [pair for key, pair in changed.items() if "." not in key]
    return [
        f"{key}: {before} before, {now} now"
        for key, (before, now) in changed.items()
        if "." not in key or (before, now) not in named
    ]


def _settings_in(path):
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        return {**old}
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}), so nothing tells whether the "
            "settings have changed; if they have not, delete it and go on"
        ) from error
