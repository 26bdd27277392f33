"""Finding and loading checkpoints.

Authors
 * The PolSESS recipe team 2026
"""

import os

import torch

from speechbrain.utils.checkpoints import Checkpointer

NETWORK = ("encoder", "masknet", "decoder")


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
