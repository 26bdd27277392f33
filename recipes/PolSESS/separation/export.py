#!/usr/bin/env python3
"""Exports a trained model to a folder that others use without the recipe.

> python export.py results/convtasnet_SB/1234 my_model

speechbrain.inference.separation.SepformerSeparation.from_hparams(source="my_model")
loads it. The folder holds the weights for SpeechBrain and as safetensors, a model
card, and with --onnx a model for ONNX Runtime.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import sys

from exporting.export import export
from paths import expand_home
from reliability.defaults import leave_one_core_free


def parse_arguments(arguments):
    """Parses the command line.

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
    add("output", help="folder to be created")
    add("--onnx", action="store_true", help="model.onnx too; takes minutes")
    add("--fp16", action="store_true", help="weights in half the bytes")
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
    return parser.parse_args(expand_home(arguments))


def main(arguments):
    """Exports a model.

    Arguments
    ---------
    arguments : list of str
        Command line without the script.

    Returns
    -------
    int
        Exit code, 1 after an error.
    """
    options = parse_arguments(arguments)
    leave_one_core_free()
    try:
        print(f"written: {export(**vars(options))}")
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
