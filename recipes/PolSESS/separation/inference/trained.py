"""Loads a trained model from a run, a checkpoint or an export.

Loading a YAML by hyperpyyaml executes what it names, so that the YAML of a stranger
may do anything. It is only parsed here: the network is built from the few classes
below, and checkpoints are read as weights alone.

Authors
 * The PolSESS recipe team 2026
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from checkpoints.weights import NETWORK, checkpoint_folder, load_weights
from fast.convtasnet import MaskNet
from runs.record import RECORD, recorded_starts
from separator import Separator
from variants import check_task, default_variants, num_outputs

from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import Decoder, Encoder
from speechbrain.utils.checkpoints import METAFNAME

HYPERPARAMS = "hyperparams.yaml"
ADVICE = (
    "expected the output folder of a run of this recipe, or an export of it"
)
# The classes and functions that a YAML may name, in runs of earlier versions too.
# SpeechBrain's mask network has the same parameters as the fast one.
BUILDERS = {
    "!new:speechbrain.lobes.models.dual_path.Encoder": Encoder,
    "!new:speechbrain.lobes.models.dual_path.Decoder": Decoder,
    "!new:speechbrain.lobes.models.conv_tasnet.MaskNet": MaskNet,
    "!new:fast.convtasnet.MaskNet": MaskNet,
    "!apply:convtasnet.mask_network": MaskNet,
}
FUNCTIONS = {
    "!apply:variants.num_outputs": num_outputs,
    "!apply:mmipc.num_outputs": num_outputs,
    "!apply:variants.default_variants": default_variants,
    "!apply:mmipc.default_variants": default_variants,
}


@dataclass(frozen=True)
class Trained:
    """A trained model and its settings.

    Arguments
    ---------
    separator : separator.Separator
        With its weights, on the CPU, in evaluation mode.
    settings : dict
        The keys of the YAML that have plain values.
    sizes : dict
        encoder, masknet, decoder -> the arguments they were built with.
    checkpoint : Path
        The folder of the weights.
    run : Path
        The output folder of the run, or the folder of the export.
    """

    separator: torch.nn.Module
    settings: dict
    sizes: dict
    checkpoint: Path
    run: Path

    @property
    def meta(self):
        """Epoch, si_sdri (dB) and unixtime of the checkpoint; {} for an export."""
        path = self.checkpoint / METAFNAME
        if not path.is_file():
            return {}
        return yaml.safe_load(path.read_text(encoding="utf-8"))

    @property
    def sample_rate(self):
        """In Hz."""
        return self.settings["sample_rate"]

    @property
    def task(self):
        """ES, EB or SB."""
        return self.settings["task"]


def load_trained(path):
    """Loads a trained model without executing anything that a file names.

    Raises ValueError when the folder has no model, a file is damaged, or the
    network is unknown to this recipe.

    Arguments
    ---------
    path : str or Path
        Output folder of a run, of which the checkpoint with the best validation
        SI-SDRi is taken; or one checkpoint, or an export.

    Returns
    -------
    Trained
        On the CPU.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder; {ADVICE}")
    checkpoint = checkpoint_folder(path)
    run, hyperparams = _find_hyperparams(path, checkpoint)
    try:
        nodes = _top_nodes(hyperparams.read_text(encoding="utf-8"))
        settings = _plain_values(nodes)
        built = {name: _build(nodes[name]) for name in NETWORK}
        _check_settings(settings)
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        reason = f"{error}"
        if isinstance(error, KeyError):
            reason = f"the key {error} is missing"
        raise ValueError(f"{hyperparams}: {reason}; {ADVICE}") from error
    parts = {name: part for name, (part, _) in built.items()}
    sizes = {name: arguments for name, (_, arguments) in built.items()}
    separator = Separator(**parts).eval()
    load_weights(separator, checkpoint)
    return Trained(separator, settings, sizes, checkpoint, run)


def _find_hyperparams(path, checkpoint):
    """Output folder and YAML of the run to which a checkpoint belongs."""
    for folder in (path, checkpoint, *checkpoint.parents[:2]):
        # A start that was refused overwrites hyperparams.yaml, but no record.
        for start in reversed(recorded_starts(folder)):
            found = folder / RECORD / Path(str(start.get("hyperparams"))).name
            if found.is_file():
                return folder, found
        if (folder / HYPERPARAMS).is_file():
            return folder, folder / HYPERPARAMS
    raise ValueError(
        f"{path}: expected {HYPERPARAMS} there, found none; {ADVICE}"
    )


def _top_nodes(text):
    """Key -> parsed node of a YAML; no object is constructed."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("expected keys and values")
    return {key.value: node for key, node in root.value}


def _plain_values(nodes):
    """The values of all keys whose nodes hold plain values alone."""
    values = {}
    for key, node in nodes.items():
        try:
            values[key] = _value(node)
        except yaml.constructor.ConstructorError:  # an object
            continue
    return values


def _value(node):
    """A plain value, or the result of one of FUNCTIONS."""
    if node.tag in FUNCTIONS and isinstance(node, yaml.SequenceNode):
        return FUNCTIONS[node.tag](*map(_value, node.value))
    return yaml.SafeLoader("").construct_document(node)


def _build(node):
    """A part of the network, and the arguments it was built with."""
    if node.tag not in BUILDERS:
        known = ", ".join(name.partition(":")[2] for name in BUILDERS)
        raise ValueError(
            f"expected a network of {known}, found {node.tag}, which is not "
            "executed from a file; pass your own network to "
            "separation.Separation(separator=...) in Python"
        )
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{node.tag}: expected arguments by name")
    sizes = {key.value: _value(item) for key, item in node.value}
    builder = BUILDERS[node.tag]
    if sizes.pop("implementation", "fast") == "stock":
        builder = conv_tasnet.MaskNet
    return builder(**sizes), sizes


def _check_settings(settings):
    """Raises ValueError when sample rate or task is invalid."""
    rate = settings["sample_rate"]
    if not isinstance(rate, int) or rate < 1:
        raise ValueError(f"sample_rate: expected Hz, found {rate!r}")
    check_task(settings["task"])
