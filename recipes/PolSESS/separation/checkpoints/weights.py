"""Finding and loading checkpoints.

Authors
 * The PolSESS recipe team 2026
"""

from pathlib import Path
from pickle import UnpicklingError

import torch

from checkpoints.checksums import CHECKSUMS, find_problem
from speechbrain.utils.checkpoints import METAFNAME, Checkpointer
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

PARTS = ("encoder", "masknet", "decoder", "network")
FILES = ("encoder.ckpt", "network.ckpt")  # one of them is in a checkpoint
AVERAGED = "averaged"  # folder of the mean of checkpoints, beside them
MOVING = "ema.ckpt"  # beside weights that are a moving average, or their source


def parts_of(separator):
    """Names the modules of a separator whose weights are files of their own.

    Arguments
    ---------
    separator : torch.nn.Module
        A separator.Separator, or a network without masks.

    Returns
    -------
    dict
        encoder, masknet, decoder -> module; or network -> the separator.
    """
    if hasattr(separator, "masknet"):
        return {name: getattr(separator, name) for name in PARTS[:3]}
    return {"network": separator}


def check_checkpoint(checkpointer, init_from, max_key="si_sdri"):
    """Refuses to test a model that was neither trained nor loaded.

    Raises ValueError when there is no checkpoint of a whole epoch: SpeechBrain
    would test random weights without a word.

    Arguments
    ---------
    checkpointer : speechbrain.utils.checkpoints.Checkpointer
        None for a model that its YAML loads.
    init_from : str
        Path of loaded weights; None or empty without.
    max_key : str
        Key of the meta by which the best checkpoint is found.
    """
    if init_from:
        return
    if checkpointer is None:
        raise ValueError(
            "init_from: expected a trained model to test, found none; give "
            "--init_from=/output/folder/of/a/run"
        )
    if checkpointer.find_checkpoint(max_key=max_key) is None:
        raise ValueError(
            f"{checkpointer.checkpoints_dir}: expected a checkpoint to test, "
            "found none; train first, or name the run with --output_folder, or "
            "load weights with --init_from"
        )


def checkpoint_folder(path):
    """Finds the checkpoint that a path names.

    Raises ValueError when there is none.

    Arguments
    ---------
    path : Path
        A checkpoint, or the output folder or save folder of a run. Of a run,
        the mean of checkpoints is taken where it was tested, or the checkpoint
        with the best validation SI-SDRi.

    Returns
    -------
    Path
        Folder with the weights.
    """
    if any((path / name).is_file() for name in FILES):
        return path
    for folder in (path, path / "save"):
        if (folder / AVERAGED / METAFNAME).is_file():
            return folder / AVERAGED
        if folder.is_dir():
            best = Checkpointer(folder).find_checkpoint(max_key="si_sdri")
            if best is not None:
                return best.path
    raise ValueError(
        f"{path} is neither a checkpoint nor the folder of a run with one; a "
        "run has one once its first epoch is validated"
    )


def moving_average_of(folder):
    """Describes the moving average that the weights of a checkpoint are.

    Arguments
    ---------
    folder : Path
        A checkpoint.

    Returns
    -------
    str
        Empty for weights that are none.
    """
    if not (folder / MOVING).is_file():
        return ""
    # Its weights are not read.
    state = torch.load(folder / MOVING, mmap=True, weights_only=True)
    return f"moving average (decay {state['decay']:g})" * state["is_swapped"]


def start_from(separator, init_from, checkpointer):
    """Loads the weights that init_from names, if a run begins.

    A run that has checkpoints goes on from them, or tests them; init_from then
    has no effect, and a warning says so. Raises ValueError where
    ``load_weights`` does.

    Arguments
    ---------
    separator : torch.nn.Module
        See ``parts_of``; changed in place.
    init_from : str
        See ``load_weights``.
    checkpointer : speechbrain.utils.checkpoints.Checkpointer
        Checkpointer of the run.
    """
    if checkpointer.list_checkpoints():
        logger.warning(
            f"init_from: {init_from} is not loaded, the checkpoints of "
            f"{checkpointer.checkpoints_dir} are used; to start from it, name "
            "another --output_folder"
        )
        return
    try:
        load_weights(separator, init_from)
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from error


def load_weights(separator, path):
    """Loads the weights of a trained separator, for fine-tuning or testing.

    Raises ValueError when there is no checkpoint, or one that is damaged or
    belongs to another model. A checkpoint of SpeechBrain's own Checkpointer has
    no checksums, and is not verified.

    Arguments
    ---------
    separator : torch.nn.Module
        See ``parts_of``; changed in place.
    path : str or Path
        See ``checkpoint_folder``.
    """
    folder = checkpoint_folder(Path(path))
    problem = (folder / CHECKSUMS).exists() and find_problem(folder)
    if problem:
        raise ValueError(f"{folder}: {problem}; name another checkpoint")
    parts = parts_of(separator)
    check_network(parts, folder)
    for name, part in parts.items():
        part.load_state_dict(_read(folder / f"{name}.ckpt"))


def check_network(parts, folder):
    """Refuses the checkpoint of another network.

    Raises ValueError that names file and parameter.

    Arguments
    ---------
    parts : dict
        See ``parts_of``.
    folder : Path
        A checkpoint.
    """
    for name, part in parts.items():
        file = folder / f"{name}.ckpt"
        if not file.is_file():
            raise ValueError(
                f"{folder}: expected {file.name} for this network, found the "
                "checkpoint of another one"
            )
        _check_shapes(file, _shapes(_read(file)), _shapes(part.state_dict()))


def check_saved_network(checkpointer):
    """Refuses to go on with the checkpoints of another network.

    Raises ValueError as ``check_network`` does. A damaged checkpoint is left to
    the checkpointer.

    Arguments
    ---------
    checkpointer : speechbrain.utils.checkpoints.Checkpointer
        Checkpointer of the run.
    """
    newest = checkpointer.find_checkpoint()
    if newest is None:
        return
    recoverables = checkpointer.recoverables
    parts = {name: recoverables[name] for name in PARTS if name in recoverables}
    try:
        check_network(parts, newest.path)
    except ValueError:
        if not find_problem(newest.path):
            raise


def _read(file):
    """Reads weights, or raises ValueError; nothing of the file is executed."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{file} is damaged, or holds more than weights, "
            "which might run code: it is not loaded"
        ) from error


def _shapes(weights):
    return {name: list(value.shape) for name, value in weights.items()}


def _check_shapes(file, found, expected):
    """Raises ValueError when weights are those of another network."""
    wrong = [
        name
        for name in {**expected, **found}
        if expected.get(name) != found.get(name)
    ]
    if wrong:
        raise ValueError(
            f"{file} belongs to another network, or to one of another size or "
            f"number of outputs: {len(wrong)} parameters differ, of {wrong[0]} "
            f"expected shape {expected.get(wrong[0])}, found "
            f"{found.get(wrong[0])}"
        )
