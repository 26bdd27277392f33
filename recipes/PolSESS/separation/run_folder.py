"""The folder of a run: one process at a time, one set of settings.

Authors
 * The PolSESS recipe team 2026
"""

import fcntl
import hashlib
import json
import os
import socket
import time
from pathlib import Path

from options import option_value
from seals import to_disk

from speechbrain.utils.checkpoints import CKPT_PREFIX
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

LOCK = ".lock"
SETTINGS = "settings.json"
_held = []  # files of locks, open as long as the process runs
# What may change between the parts of a training. All else decides about its
# result.
FREE = set(
    "output_folder save_folder train_log data_folder skip_prep audit "
    "on_bad_rows resume_changed test_variants n_test number_of_epochs "
    "num_workers ckpt_interval_minutes eval_precision metrics cache_folder "
    "save_audio strata latex tensorboard wandb wandb_board".split()
)
RUN_OPTIONS = ("precision", "grad_accumulation_factor", "max_grad_norm")


def lock_folder(output_folder):
    """Makes the folder of a run, and keeps other processes out of it.

    The system drops the lock with the process, however that ends, and workers
    of data loaders do not inherit it. Raises ValueError that names the holder,
    or says that the folder cannot be written.

    Arguments
    ---------
    output_folder : str
        Of the run.

    """
    path = os.path.join(output_folder, LOCK)
    try:
        os.makedirs(output_folder, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"output_folder: {output_folder} cannot be written ({error}); "
            "name another one with --output_folder"
        ) from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        raise ValueError(
            f"output_folder: {output_folder} is in use by {file.read()}; wait "
            "for it, or name another one with --output_folder"
        ) from error
    except OSError as error:
        logger.warning(
            f"{path} cannot be locked ({error}): take care that no other "
            "process uses this folder"
        )
    file.truncate(0)
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    file.write(
        f"process {os.getpid()} on {socket.gethostname()} since {started}"
    )
    file.flush()
    _held.append(file)


def settings_of(hparams, run_opts):
    """What decides about the result of a training.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, after the preparation.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.

    Returns
    -------
    dict
        Name -> value that JSON can hold; the data by the hash of its manifests.
    """
    settings = {}
    for key, value in hparams.items():
        if isinstance(value, dict):  # of a data loader
            value = {k: v for k, v in value.items() if k not in FREE}
        try:
            text = json.dumps(value)
        except TypeError:
            continue  # an object; it is made from values that are here
        if key not in FREE and not key.startswith("__"):
            settings[key] = json.loads(text)
    for key in RUN_OPTIONS:
        settings[key] = option_value(key, hparams, run_opts)
    for split in ("train", "valid"):
        digest = hashlib.sha256()
        for path in sorted(Path(hparams["save_folder"]).glob(f"{split}_*.csv")):
            digest.update(path.read_bytes())
        settings[f"{split} data (hash)"] = digest.hexdigest()[:16]
    return settings


def check_settings(hparams, run_opts, resume_changed=False):
    """Refuses to resume a training with other settings.

    Raises ValueError that names each difference, unless ``resume_changed``.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, after the preparation.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.
    resume_changed : bool
        Whether to go on with other settings, with a warning for each.
    """
    path = Path(hparams["save_folder"]) / SETTINGS
    new = settings_of(hparams, run_opts)
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
