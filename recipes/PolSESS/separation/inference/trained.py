"""Loads a trained model from a run, a checkpoint or an export.

Loading a YAML by hyperpyyaml executes what it names, so that the YAML of a stranger
may do anything. It is only parsed here: the network is built from the few classes
below, and checkpoints are read as weights alone.

Authors
 * The PolSESS recipe team 2026
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import yaml
from checkpoints.weights import (
    checkpoint_folder,
    load_weights,
    moving_average_of,
)
from networks.registry import (
    CONV_TASNET,
    NETWORKS,
    STOCK_CONV_TASNET,
    Network,
    load_class,
)
from runs.record import RECORD, recorded_starts
from separator import Separator
from variants import check_task, default_variants, num_outputs

from speechbrain.lobes.models import dual_path, resepformer
from speechbrain.utils.checkpoints import METAFNAME

HYPERPARAMS = "hyperparams.yaml"
BUILDER = "builder"  # key of an export: the class in the registry
ADVICE = (
    "expected the output folder of a run of this recipe, or an export of it"
)
# The classes and functions that a YAML may name, in runs of earlier versions too.
ENDS = {
    "encoder": "!new:speechbrain.lobes.models.dual_path.Encoder",
    "decoder": "!new:speechbrain.lobes.models.dual_path.Decoder",
}
NETWORK_TAGS = {
    **{f"!new:{network.builder}": network for network in NETWORKS},
    # SpeechBrain's mask network has the same parameters as the fast one.
    f"!new:{STOCK_CONV_TASNET.builder}": CONV_TASNET,
    "!apply:convtasnet.mask_network": CONV_TASNET,
}
BLOCKS = {
    f"!{kind}:{module.__name__}.{name}": getattr(module, name)
    for kind in ("name", "new")  # the latter in exports
    for module, name in (
        (dual_path, "SBRNNBlock"),
        (dual_path, "SBTransformerBlock"),
        (resepformer, "SegLSTM"),
        (resepformer, "MemLSTM"),
        (resepformer, "SBRNNBlock"),
        (resepformer, "SBTransformerBlock_wnormandskip"),
    )
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
    separator : torch.nn.Module
        With its weights, on the CPU, in evaluation mode.
    network : networks.registry.Network
        Its entry in the registry.
    settings : dict
        The keys of the YAML that have plain values.
    sizes : dict
        encoder, masknet, decoder, or network -> the arguments they were built
        with.
    checkpoint : Path
        The folder of the weights.
    run : Path
        The output folder of the run, or the folder of the export.
    """

    separator: torch.nn.Module
    network: Network
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
    def weights(self):
        """How they were averaged; empty for those at the end of an epoch."""
        moving = moving_average_of(self.checkpoint)
        average = f"{moving} of epoch {self.meta['epoch']}" if moving else ""
        return self.meta.get("weights", average)

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
        Output folder of a run, of which ``checkpoint_folder`` is taken; or one
        checkpoint, or an export.

    Returns
    -------
    Trained
        On the CPU.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder; {ADVICE}")
    checkpoint = checkpoint_folder(path)
    run, hyperparams = _find_yaml(path, checkpoint, *checkpoint.parents[:2])
    try:
        nodes = _top_nodes(hyperparams.read_text(encoding="utf-8"))
        settings = _plain_values(nodes)
        network, separator, sizes = _build(nodes, settings)
        _check_settings(settings)
    except (
        *(ValueError, TypeError, KeyError, RuntimeError),
        yaml.YAMLError,
    ) as error:
        reason = f"{error}"
        if isinstance(error, KeyError):
            reason = f"the key {error} is missing"
        raise ValueError(f"{hyperparams}: {reason}; {ADVICE}") from error
    load_weights(separator.eval(), checkpoint)
    return Trained(separator, network, settings, sizes, checkpoint, run)


def read_run_yaml(run):
    """Reads the resolved YAML of a run's last start; nothing is executed.

    Raises ValueError when there is none, or it is damaged.

    Arguments
    ---------
    run : str or Path
        Output folder of a run.

    Returns
    -------
    text : str
        The YAML.
    settings : dict
        The keys that have plain values.
    """
    _, path = _find_yaml(Path(run))
    text = path.read_text(encoding="utf-8")
    try:
        return text, _plain_values(_top_nodes(text))
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}; {ADVICE}") from error


def _find_yaml(*folders):
    """Output folder and resolved YAML of a run, from the first that has one."""
    for folder in folders:
        # A start that was refused overwrites hyperparams.yaml, but no record.
        for start in reversed(recorded_starts(folder)):
            found = folder / RECORD / Path(str(start.get("hyperparams"))).name
            if found.is_file():
                return folder, found
        if (folder / HYPERPARAMS).is_file():
            return folder, folder / HYPERPARAMS
    raise ValueError(
        f"{folders[0]}: expected {HYPERPARAMS} there, found none; {ADVICE}"
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
    """A plain value, the result of one of FUNCTIONS, or a factory of BLOCKS."""
    if node.tag in FUNCTIONS and isinstance(node, yaml.SequenceNode):
        return FUNCTIONS[node.tag](*map(_value, node.value))
    if node.tag in BLOCKS:
        return partial(BLOCKS[node.tag], **_arguments(node))
    return yaml.SafeLoader("").construct_document(node)


def _arguments(node):
    """The arguments that a node gives to its class."""
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{node.tag}: expected arguments by name")
    return {key.value: _value(item) for key, item in node.value}


def _build(nodes, settings):
    """Entry in the registry, separator, and the arguments of its parts."""
    name = "masknet" if "masknet" in nodes else "network"
    tag = nodes[name].tag
    if BUILDER in settings:  # an export
        tag = f"!new:{settings[BUILDER]}"
    network = NETWORK_TAGS.get(tag)
    if network is None:
        known = ", ".join(network.name for network in NETWORKS)
        raise ValueError(
            f"expected a network of this recipe ({known}), found {tag}, which "
            "is not executed from a file; pass your own network to "
            "separation.Separation(separator=...) in Python"
        )
    sizes = {part: _arguments(nodes[part]) for part in network.parts}
    if sizes[name].pop("implementation", "fast") == "stock":
        network = STOCK_CONV_TASNET
    built = load_class(network.builder)(**sizes[name])
    if network.is_mask:
        parts = {
            part: _end(nodes[part].tag, part)(**sizes[part]) for part in ENDS
        }
        built = Separator(masknet=built, **parts)
    return network, built, sizes


def _end(tag, part):
    """Class of the encoder or decoder."""
    if tag != ENDS[part]:
        raise ValueError(f"{part}: expected {ENDS[part]}, found {tag}")
    return getattr(dual_path, part.title())


def _check_settings(settings):
    """Raises ValueError when sample rate or task is invalid."""
    rate = settings["sample_rate"]
    if not isinstance(rate, int) or rate < 1:
        raise ValueError(f"sample_rate: expected Hz, found {rate!r}")
    check_task(settings["task"])
