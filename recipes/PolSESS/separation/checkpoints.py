"""Finding, loading and distrusting checkpoints.

Authors
 * The PolSESS recipe team 2026
"""

import os
import zipfile
from pathlib import Path

import torch

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

NETWORK = ("encoder", "masknet", "decoder")
# Files that torch wrote: their directory stands at the end, so a file that was
# cut off is no zip archive.
ARCHIVES = (*NETWORK, "lr_scheduler", "optimizer")
TEXTS = ("brain", "counter", "dataloader-TRAIN")


def set_aside_broken_checkpoints(save_folder):
    """Renames checkpoints that a killed process left unfinished.

    SpeechBrain marks a checkpoint as one before it writes its files, and then
    cannot start from it. ``CKPT+...`` becomes ``BROKEN+...``, with a warning, and
    the checkpoint before it is found.

    Arguments
    ---------
    save_folder : str
        Folder of the checkpoints of a run.
    """
    for folder in sorted(Path(save_folder).glob("CKPT+*")):
        marked = (folder / "CKPT.yaml").is_file()
        whole = all(
            zipfile.is_zipfile(folder / f"{name}.ckpt") for name in ARCHIVES
        ) and all(
            os.path.getsize(folder / f"{name}.ckpt")
            for name in TEXTS
            if (folder / f"{name}.ckpt").exists()
        )
        if marked and not whole:
            broken = folder.with_name(folder.name.replace("CKPT", "BROKEN", 1))
            logger.warning(
                f"{folder} was not written to its end; it is now {broken.name} "
                "and an older checkpoint is used"
            )
            folder.rename(broken)


def check_checkpoint(hparams):
    """Refuses to test a model that was neither trained nor loaded.

    Raises ValueError when no checkpoint of a whole epoch is at hand:
    SpeechBrain would test the random weights without a word.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    """
    best = hparams["checkpointer"].find_checkpoint(max_key="si_sdri")
    if best is None and not hparams["init_from"]:
        raise ValueError(
            f"{hparams['save_folder']}: expected a checkpoint to test, found "
            "none; train first, or name the run with --output_folder, or "
            "load weights with --init_from"
        )


def _checkpoint_folder(path):
    """The folder of the checkpoint that a path stands for."""
    if os.path.isfile(os.path.join(path, "encoder.ckpt")):
        return path
    for folder in (path, os.path.join(path, "save")):
        if os.path.isdir(folder):
            best = Checkpointer(folder).find_checkpoint(max_key="si_sdri")
            if best is not None:
                return str(best.path)
    raise ValueError(
        f"init_from: {path} is neither a checkpoint nor the folder of a run "
        "with one"
    )


def load_weights(separator, path):
    """Loads the weights of a trained separator, for fine-tuning or testing.

    Raises ValueError when there is no checkpoint, or one of another model.

    Arguments
    ---------
    separator : Separator
        Changed in place.
    path : str
        A checkpoint (``CKPT+...``), or the output folder or save folder of a
        run, from which the checkpoint with the best validation SI-SDRi is
        taken.
    """
    folder = _checkpoint_folder(str(path))
    for part in NETWORK:
        file = os.path.join(folder, f"{part}.ckpt")
        weights = torch.load(file, map_location="cpu", weights_only=True)
        try:
            getattr(separator, part).load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"init_from: {file} belongs to a model of another size or "
                f"number of outputs: {error}"
            ) from error
