#!/usr/bin/env python3
"""Makes a folder of a trained model that others can use without the recipe.

> python export.py results/convtasnet_SB/1234 my_model

speechbrain.inference.separation.SepformerSeparation.from_hparams(source="my_model")
loads it. The folder has the weights also as safetensors, a model card, and with
--onnx a model for ONNX Runtime.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path

import torch
import yaml
from exporting.card_facts import run_folder
from inference.checkpoints import NETWORK
from variants import num_outputs
from exporting.model_card import model_card
from reporting.runs import read_scores
from inference.trained import HYPERPARAMS, load_trained

CLASSES = {
    "encoder": "speechbrain.lobes.models.dual_path.Encoder",
    "masknet": "speechbrain.lobes.models.conv_tasnet.MaskNet",
    "decoder": "speechbrain.lobes.models.dual_path.Decoder",
}


def parse_arguments(arguments):
    """The command line.

    Arguments
    ---------
    arguments : list of str
        Without the script.

    Returns
    -------
    argparse.Namespace
        The options.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("run", help="output folder of a training, or a checkpoint of it")
    add("output", help="the folder to be made")
    add("--onnx", action="store_true", help="model.onnx too; takes minutes")
    add(
        "--untested",
        action="store_true",
        help="export a model without test scores",
    )
    add(
        "--licence",
        default="other",
        help="of the weights, as the Hugging Face hub names it, e.g. cc-by-nc-4.0",
    )
    return parser.parse_args(arguments)


def scores_of(model, untested):
    """The test scores that belong to a model.

    Raises ValueError when there are none, or they are of an earlier model.

    Arguments
    ---------
    model : trained.Trained
        To be exported.
    untested : bool
        Whether it may go without.

    Returns
    -------
    pd.DataFrame
        test_scores.csv; None without scores.
    """
    run = run_folder(model)
    path = run / "test_scores.csv"
    try:
        scores = read_scores(str(run))
        if path.stat().st_mtime < model.meta.get("unixtime", 0):
            raise ValueError(
                f"{path} is older than the model: test it again (train.py ... "
                "--test_only)"
            )
    except ValueError as error:
        if untested:
            return None
        raise ValueError(
            f"{error}; --untested exports it without a table"
        ) from error
    return scores


def hyperparams_text(model):
    """The YAML that SepformerSeparation reads.

    Arguments
    ---------
    model : trained.Trained
        To be exported.

    Returns
    -------
    str
        It names SpeechBrain's own classes alone.
    """
    head = {
        "task": model.task,
        "sample_rate": model.sample_rate,
        "num_spks": num_outputs(model.task),
    }
    lines = ["# Made by export.py of the PolSESS recipe; see README.md.", ""]
    lines += [yaml.safe_dump(head, sort_keys=False)]
    for part in NETWORK:
        sizes = dict(model.sizes[part])
        sizes.pop("implementation", None)
        text = yaml.safe_dump(sizes, sort_keys=False)
        lines += [f"{part}: !new:{CLASSES[part]}"]
        lines += [f"    {line}" for line in text.splitlines()] + [""]
    parts = [f"    {part}: !ref <{part}>" for part in NETWORK]
    loader = "speechbrain.utils.parameter_transfer.Pretrainer"
    lines += ["modules:", *parts, "", f"pretrainer: !new:{loader}"]
    lines += ["    loadables:", *[f"    {line}" for line in parts], ""]
    return "\n".join(lines)


def write_weights(model, folder):
    """Writes the weights as SpeechBrain reads them, and as safetensors.

    Raises ImportError that names what to install without safetensors.

    Arguments
    ---------
    model : trained.Trained
        To be exported.
    folder : Path
        Into which the files go.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError("export.py needs: pip install safetensors") from error
    for part in NETWORK:
        weights = getattr(model.separator, part).state_dict()
        torch.save(weights, folder / f"{part}.ckpt")
    weights = model.separator.state_dict()
    weights = {name: value.contiguous() for name, value in weights.items()}
    facts = {"format": "pt", "task": model.task}
    facts["sample_rate"] = str(model.sample_rate)
    path = folder / "model.safetensors"
    save_file(weights, str(path), facts)
    # It is written for its owner alone, the others for everybody.
    path.chmod((folder / "encoder.ckpt").stat().st_mode)


def export(options):
    """Makes the folder, completely or not at all.

    Raises ValueError when the run cannot be exported or the folder is in use.

    Arguments
    ---------
    options : argparse.Namespace
        The command line.

    Returns
    -------
    Path
        The folder.
    """
    output = Path(options.output).expanduser()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is in use; name a new folder")
    model = load_trained(options.run)
    scores = scores_of(model, options.untested)
    partial = output.with_name(f".{output.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, partial, ignore_errors=True)
        partial.mkdir(parents=True)
        text = hyperparams_text(model)
        (partial / HYPERPARAMS).write_text(text, encoding="utf-8")
        write_weights(model, partial)
        if options.onnx:
            from exporting.onnx_file import write_onnx

            write_onnx(model.separator, partial / "model.onnx")
        card = model_card(model, scores, options.licence, options.onnx)
        (partial / "README.md").write_text(card, encoding="utf-8")
        os.replace(partial, output)
    return output


def main(arguments):
    """Exports a model.

    Arguments
    ---------
    arguments : list of str
        Of the command line.

    Returns
    -------
    int
        The exit code, 1 if it was not exported.
    """
    try:
        print(f"written: {export(parse_arguments(arguments))}")
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
