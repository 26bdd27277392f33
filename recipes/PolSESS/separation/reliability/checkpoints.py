"""Finding and loading checkpoints.

Authors
 * The PolSESS recipe team 2026
"""

from pathlib import Path
from pickle import UnpicklingError

import torch
from reliability.checksums import SUMS, find_problem

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

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
    if hparams["init_from"]:
        return
    best = hparams["checkpointer"].find_checkpoint(max_key="si_sdri")
    if best is None:
        raise ValueError(
            f"{hparams['save_folder']}: expected a checkpoint to test, found "
            "none; train first, or name the run with --output_folder, or "
            "load weights with --init_from"
        )


def checkpoint_folder(path):
    """The folder of the checkpoint that a path stands for.

    Raises ValueError when there is none.

    Arguments
    ---------
    path : Path
        A checkpoint, or the output folder or save folder of a run, of which the
        checkpoint with the best validation SI-SDRi is taken.

    Returns
    -------
    Path
        Holds the weights of encoder, masknet and decoder.
    """
    if (path / "encoder.ckpt").is_file():
        return path
    for folder in (path, path / "save"):
        if folder.is_dir():
            best = Checkpointer(folder).find_checkpoint(max_key="si_sdri")
            if best is not None:
                return best.path
    raise ValueError(
        f"{path} is neither a checkpoint nor the folder of a run with one; a "
        "run has one once its first epoch is validated"
    )


def start_from(hparams):
    """Loads the weights that init_from names, if a run begins.

    Where the run has checkpoints, these are what it goes on from, or tests:
    init_from is then left alone, with a warning.

    Arguments
    ---------
    hparams : dict
        The loaded YAML; its separator is changed in place.
    """
    if hparams["checkpointer"].list_checkpoints():
        logger.warning(
            f"init_from: {hparams['init_from']} is not loaded, the checkpoints "
            f"of {hparams['save_folder']} are used; to start anew, name "
            "another --output_folder"
        )
        return
    try:
        load_weights(hparams["separator"], hparams["init_from"])
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from error


def load_weights(separator, path):
    """Loads the weights of a trained separator, for fine-tuning or testing.

    Raises ValueError when there is no checkpoint, or one that is damaged or
    belongs to another model. One without sums, which SpeechBrain's own
    Checkpointer wrote, is taken as it is.

    Arguments
    ---------
    separator : Separator
        Changed in place.
    path : str
        A checkpoint (``CKPT+...``), or the output folder or save folder of a
        run, from which the checkpoint with the best validation SI-SDRi is
        taken.
    """
    folder = checkpoint_folder(Path(path))
    problem = (folder / SUMS).exists() and find_problem(folder)
    if problem:
        raise ValueError(f"{folder}: {problem}; name another checkpoint")
    for part in NETWORK:
        file = folder / f"{part}.ckpt"
        try:
            weights = torch.load(file, map_location="cpu", weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError) as error:
            raise ValueError(
                f"{file} is damaged, or holds more than weights, "
                "which might run code: it is not loaded"
            ) from error
        try:
            getattr(separator, part).load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"{file} belongs to a model of another size or "
                f"number of outputs: {error}"
            ) from error
