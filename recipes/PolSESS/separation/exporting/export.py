"""The command export.py: writes the folder of an exported model.

Authors
 * The PolSESS recipe team 2026
"""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
import yaml
from checkpoints.weights import parts_of
from inference.trained import BUILDER, ENDS, HYPERPARAMS, load_trained
from paths import replacing
from variants import num_outputs

from exporting.interface import interface_name, interface_text
from exporting.model_card import model_card
from exporting.onnx_file import onnx_length, write_onnx

MEAN_FIRST = """    {0}: !new:torch.nn.Sequential
        - !new:speechbrain.processing.features.InputNormalization
          norm_type: sentence
          std_norm: False
        - !ref <{0}>"""
SUMMARY_COLUMNS = {"variant", "setting", "n", "si_sdr_mean", "si_sdri_mean"}


def export(
    run, output, onnx=False, untested=False, licence="other", fp16=False
):
    """Writes the folder of an exported model, completely or not at all.

    Raises ValueError when the run cannot be exported or the folder is in use,
    ImportError when a package is missing.

    Arguments
    ---------
    run : str
        Output folder of a training, or one of its checkpoints.
    output : str
        Folder to be created; it may exist if it is empty.
    onnx : bool
        Whether model.onnx is written.
    untested : bool
        Whether a model without test scores is accepted.
    licence : str
        Licence of the weights, as the Hugging Face hub names it.
    fp16 : bool
        Whether the weights are rounded to float16, which halves their files.
        Who loads them computes in float32.

    Returns
    -------
    Path
        The folder.
    """
    output = Path(output)
    _check_free(output)
    model = load_trained(run)
    summary = read_summary(model, untested)
    length = onnx_length(model) if onnx else None
    if fp16:
        round_weights(model.separator)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as [unfinished]:
        unfinished.mkdir()
        text = hyperparams_text(model)
        (unfinished / HYPERPARAMS).write_text(text, encoding="utf-8")
        if not model.network.stock:
            code = unfinished / interface_name(model.network)
            code.write_text(interface_text(model.network), encoding="utf-8")
        write_weights(model, unfinished, fp16)
        if onnx:
            write_onnx(model.separator, unfinished / "model.onnx", length)
        card = model_card(model, summary, licence, onnx, length, fp16)
        card.save(unfinished / "README.md")
        _check_free(output)  # of another export, too
    return output


def _check_free(output):
    """Raises ValueError unless a folder is empty or missing."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is in use; name a new folder")


def read_summary(model, untested):
    """Reads the test table of a model.

    Raises ValueError when there is none, or it belongs to an earlier model.

    Arguments
    ---------
    model : trained.Trained
        Model of a run.
    untested : bool
        Whether a missing table is accepted.

    Returns
    -------
    pd.DataFrame
        test_summary.csv; None for an untested model.
    """
    path = model.run / "test_summary.csv"
    problem = _problem(model, path)
    if not problem:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
        return table.fillna({"setting": ""})
    if untested:
        return None
    raise ValueError(
        f"{problem}; test the run first (train.py ... --test_only), or "
        "--untested exports it without a table"
    )


def _problem(model, path):
    """Why the table of a test cannot be used; None if it can."""
    scores = model.run / "test_scores.csv"
    for file in (scores, path):
        if not file.is_file():
            return f"{file} is missing"
    if scores.stat().st_mtime < model.meta.get("unixtime", 0):
        return f"{scores} is older than the model"
    with open(path, encoding="utf-8") as file:
        columns = file.readline().strip().split(",")
    missing = SUMMARY_COLUMNS.difference(columns)
    if missing:
        return f"{path} lacks the columns {', '.join(sorted(missing))}"
    return None


def hyperparams_text(model):
    """Writes the YAML that SpeechBrain reads.

    Arguments
    ---------
    model : trained.Trained
        Model of a run.

    Returns
    -------
    str
        It names SpeechBrain's own classes; for a network that SpeechBrain does
        not have, a class of the Python file beside it.
    """
    head = {
        "task": model.task,
        "sample_rate": model.sample_rate,
        "num_spks": num_outputs(model.task),
        BUILDER: model.network.builder,
    }
    lines = ["# Made by export.py of the PolSESS recipe; see README.md.", ""]
    lines += [yaml.safe_dump(head, sort_keys=False)]
    for part in model.network.parts:
        lines += [*_node(part, _class_of(model, part), model.sizes[part]), ""]
    parts = [f"    {part}: !ref <{part}>" for part in model.network.parts]
    # The mean goes before the network, as in inference.separation.
    first = MEAN_FIRST.format(model.network.parts[0])
    loader = "speechbrain.utils.parameter_transfer.Pretrainer"
    lines += ["modules:", first, *parts[1:], "", f"pretrainer: !new:{loader}"]
    lines += ["    loadables:", *[f"    {line}" for line in parts], ""]
    return "\n".join(lines)


def _class_of(model, part):
    """The class that the YAML of an export names."""
    if part in ENDS:
        return ENDS[part].removeprefix("!new:")
    if model.network.stock:
        return model.network.stock
    name = model.network.builder.rpartition(".")[2]
    return f"{Path(interface_name(model.network)).stem}.{name}"


def _node(key, kind, arguments):
    """Lines of a YAML that make an object; factories become objects in it."""
    plain, objects = {}, {}
    for name, value in arguments.items():
        (objects if isinstance(value, partial) else plain)[name] = value
    text = yaml.safe_dump(plain, sort_keys=False) if plain else ""
    lines = text.splitlines()
    for name, block in objects.items():
        path = f"{block.func.__module__}.{block.func.__qualname__}"
        lines += _node(name, path, block.keywords)
    return [f"{key}: !new:{kind}", *(f"    {line}" for line in lines)]


def round_weights(separator):
    """Rounds the weights to float16, and keeps them in float32.

    The separator (Module) is changed in place: an ONNX file has the same weights,
    too. Raises ValueError when one is too large.

    Example
    -------
    >>> layer = torch.nn.Linear(1, 1)
    >>> _ = layer.weight.data.fill_(1.0004)
    >>> round_weights(layer)
    >>> layer.weight.item(), layer.weight.dtype
    (1.0, torch.float32)
    """
    for name, value in separator.state_dict().items():
        if value.is_floating_point():
            value.copy_(value.half())
            if not value.isfinite().all():
                raise ValueError(f"--fp16: {name} exceeds float16")


def write_weights(model, folder, fp16=False):
    """Writes the weights as SpeechBrain reads them, and as safetensors.

    Raises ImportError when safetensors is not installed.

    Arguments
    ---------
    model : trained.Trained
        Model of a run.
    folder : Path
        Folder of the files.
    fp16 : bool
        Whether they are float16.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError("export.py needs: pip install safetensors") from error

    def stored(module):
        """The weights of a module as the files have them."""
        weights = module.state_dict()
        return {
            name: value.half() if fp16 and value.is_floating_point() else value
            for name, value in weights.items()
        }

    for name, part in parts_of(model.separator).items():
        torch.save(stored(part), folder / f"{name}.ckpt")
    weights = stored(model.separator)
    weights = {name: value.contiguous() for name, value in weights.items()}
    facts = {"format": "pt", "task": model.task}
    facts["sample_rate"] = str(model.sample_rate)
    path = folder / "model.safetensors"
    save_file(weights, str(path), facts)
    # safetensors writes it for the owner alone.
    path.chmod((folder / HYPERPARAMS).stat().st_mode)
