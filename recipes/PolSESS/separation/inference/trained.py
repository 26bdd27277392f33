"""Loads a trained model from the folder of a run, a checkpoint or an export.

The YAML of a run is a program, and that of somebody else's run may be any program.
So it is not run here: the network is built from what the YAML says about encoder,
masknet and decoder, out of the few classes below, and the weights are data.

Authors
 * The PolSESS recipe team 2026
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from inference.checkpoints import NETWORK, checkpoint_folder, load_weights
from fast.convtasnet import mask_network
from variants import check_task, num_outputs
from reliability.record import RECORD, recorded_starts
from separator import Separator

from speechbrain.lobes.models.dual_path import Decoder, Encoder
from speechbrain.utils.checkpoints import METAFNAME

HYPERPARAMS = "hyperparams.yaml"
ADVICE = (
    "expected the output folder of a run of this recipe, or an export of it"
)


def _fast_mask_network(**options):
    """SpeechBrain's mask network, in its fast form."""
    return mask_network("fast", **options)


# What a YAML may name. All else in it is left alone.
BUILDERS = {
    "!new:speechbrain.lobes.models.dual_path.Encoder": Encoder,
    "!new:speechbrain.lobes.models.dual_path.Decoder": Decoder,
    "!new:speechbrain.lobes.models.conv_tasnet.MaskNet": _fast_mask_network,
    "!apply:convtasnet.mask_network": mask_network,
}
NUM_OUTPUTS = "!apply:mmipc.num_outputs"


@dataclass(frozen=True)
class Trained:
    """A trained model and what must be known to use it.

    Arguments
    ---------
    separator : separator.Separator
        With its weights, on the CPU, in evaluation mode.
    settings : dict
        The keys of the run's YAML that are plain values.
    sizes : dict
        encoder, masknet, decoder -> the arguments that they were made with.
    checkpoint : Path
        The folder of the weights.
    hyperparams : Path
        The YAML.
    """

    separator: torch.nn.Module
    settings: dict
    sizes: dict
    checkpoint: Path
    hyperparams: Path

    @property
    def meta(self):
        """What its checkpoint says of itself; empty for an export."""
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
    """Loads a trained model, without running anything that a file holds.

    Raises ValueError when there is none, when a file of it is damaged, or when
    its network is none that this recipe knows.

    Arguments
    ---------
    path : str or Path
        The output folder of a run, of which the checkpoint with the best
        validation SI-SDRi is taken; or one checkpoint of it, or an export.

    Returns
    -------
    Trained
        On the CPU.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder; {ADVICE}")
    checkpoint = checkpoint_folder(path)
    hyperparams = _find_hyperparams(path, checkpoint)
    with open(hyperparams, encoding="utf-8") as file:
        try:
            nodes = _top_nodes(file.read())
            settings = _plain_values(nodes)
            sizes = {name: _arguments(nodes[name]) for name in NETWORK}
            parts = {
                name: BUILDERS[nodes[name].tag](**sizes[name])
                for name in NETWORK
            }
            _check_settings(settings)
        except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
            reason = f"{error}"
            if isinstance(error, KeyError):
                reason = f"the key {error} is missing"
            raise ValueError(f"{hyperparams}: {reason}; {ADVICE}") from error
    separator = Separator(**parts).eval()
    load_weights(separator, checkpoint)
    return Trained(separator, settings, sizes, checkpoint, hyperparams)


def separator_of(path):
    """The network of a trained model, see ``load_trained``.

    Arguments
    ---------
    path : str or Path
        See there.

    Returns
    -------
    separator.Separator
        With its weights.
    """
    return load_trained(path).separator


def _find_hyperparams(path, checkpoint):
    """The YAML with which a checkpoint was trained."""
    for folder in (path, checkpoint, *checkpoint.parents[:2]):
        # A start that was refused overwrites hyperparams.yaml, but not these.
        for start in reversed(recorded_starts(folder)):
            found = folder / RECORD / Path(str(start.get("hyperparams"))).name
            if found.is_file():
                return found
        if (folder / HYPERPARAMS).is_file():
            return folder / HYPERPARAMS
    raise ValueError(
        f"{path}: expected {HYPERPARAMS} there, found none; {ADVICE}"
    )


def _top_nodes(text):
    """Key -> node of a YAML, of which nothing is made yet."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("expected keys and values")
    return {key.value: node for key, node in root.value}


def _plain_values(nodes):
    """The values of all keys that are made of nothing but plain values."""
    values = {}
    for key, node in nodes.items():
        try:
            values[key] = yaml.SafeLoader("").construct_document(node)
        except yaml.constructor.ConstructorError:  # an object
            continue
    return values


def _arguments(node):
    """The arguments of a part of the network, or of a function for one."""
    if node.tag not in BUILDERS:
        known = ", ".join(name.partition(":")[2] for name in BUILDERS)
        raise ValueError(
            f"expected a network of {known}, found {node.tag}, which is not "
            "run from a file; give your own network to "
            "separation.Separation(separator=...) in Python"
        )
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{node.tag}: expected arguments by name")
    return {key.value: _value(item) for key, item in node.value}


def _value(node):
    """A plain value, or the number of outputs of a task."""
    if node.tag == NUM_OUTPUTS:
        return num_outputs(*map(_value, node.value))
    return yaml.SafeLoader("").construct_document(node)


def _check_settings(settings):
    """Raises ValueError where what is needed is missing or odd."""
    rate = settings["sample_rate"]
    if not isinstance(rate, int) or rate < 1:
        raise ValueError(f"sample_rate: expected Hz, found {rate!r}")
    check_task(settings["task"])
