"""The networks of the recipe, and what each can do.

Loading, export, ONNX, streaming, benchmarks and model card read this table, so a
further network is a class, a YAML and an entry.

Authors
 * The PolSESS recipe team 2026
"""

from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path

CITATIONS = Path(__file__).with_name("citations.bib")
MASK_PARTS = ("encoder", "masknet", "decoder")
NEEDS_ALL = "it reads the whole mixture before the first estimate"


@dataclass(frozen=True)
class Network:
    """A network, its published sizes, and what it can do.

    Arguments
    ---------
    name : str
        Its name in the literature.
    hparams : str
        Its YAML in hparams/.
    builder : str
        Class of the mask network, or of the whole network if it maps the mixture
        to its sources without masks.
    citation : str
        Key of its paper in citations.bib.
    licence : str
        Licence of its public reference code.
    sizes : dict
        Published size -> overrides of the YAML, and parameters with one and with
        two outputs, with those of auxiliary estimates.
    blocks : str
        The list of modules that gradient checkpointing wraps, as an attribute
        of the separator; or a method that computes one block.
    stock : str
        SpeechBrain's class with the same weights; "" if there is none, and the
        export brings code along.
    stock_mixes_batch : bool
        Whether SpeechBrain's class mixes the items of a batch, or does in a
        causal model. The recipe's networks never do.
    causal : str
        Overrides of the YAML for a causal model; "" if there are none.
    streaming : str
        Reason why a causal model cannot work on live audio; "" if it can.
    onnx : str
        "free" for any batch size and length, "fixed" for one length, otherwise
        the reason why there is no ONNX file.
    fp16 : str
        Reason why fp16 is refused; "" if it is not. bf16 and fp32 always work.
    """

    name: str
    hparams: str
    builder: str
    citation: str
    licence: str
    sizes: dict
    blocks: str
    stock: str = ""
    stock_mixes_batch: bool = False
    causal: str = ""
    streaming: str = NEEDS_ALL
    onnx: str = "free"
    fp16: str = ""

    @property
    def is_mask(self):
        """Whether it multiplies features by masks, for ``Separator``."""
        return self.blocks.startswith("masknet.")

    @property
    def parts(self):
        """Keys of the YAML that hold its modules, and names of their files."""
        return MASK_PARTS if self.is_mask else ("network",)

    @property
    def bibtex(self):
        """Entry of its paper in citations.bib."""
        entries = CITATIONS.read_text(encoding="utf-8").split("\n\n")
        (entry,) = [text for text in entries if f"{{{self.citation}," in text]
        return entry.strip()


DUAL_PATH = "speechbrain.lobes.models.dual_path.Dual_Path_Model"
RESOURCE_EFFICIENT = (
    "speechbrain.lobes.models.resepformer.ResourceEfficientSeparator"
)
CONV_TASNET = Network(
    name="Conv-TasNet",
    hparams="convtasnet.yaml",
    builder="fast.convtasnet.MaskNet",
    citation="luo2019convtasnet",
    licence="Apache-2.0",
    sizes={"paper, R 4": ("", 8_643_136, 8_708_672)},
    blocks="masknet.run_block",
    stock="speechbrain.lobes.models.conv_tasnet.MaskNet",
    causal="--norm_type=cLN --causal=True",
    streaming="",
)
NETWORKS = (
    CONV_TASNET,
    Network(
        name="DPRNN",
        hparams="dprnn.yaml",
        builder="networks.dual_path.DPRNN",
        citation="luo2020dprnn",
        licence="Apache-2.0",
        sizes={"paper": ("", 2_605_633, 2_609_793)},
        blocks="masknet.dual_mdl",
        stock=DUAL_PATH,
        onnx="fixed",
    ),
    Network(
        name="SepFormer",
        hparams="sepformer.yaml",
        builder="networks.dual_path.SepFormer",
        citation="subakan2021sepformer",
        licence="Apache-2.0",
        sizes={"paper": ("", 25_613_569, 25_679_361)},
        blocks="masknet.dual_mdl",
        stock=DUAL_PATH,
    ),
    Network(
        name="SkiM",
        hparams="skim.yaml",
        builder="networks.skim.SkiM",
        citation="li2022skim",
        licence="Apache-2.0",
        sizes={"SpeechBrain": ("", 14_490_241, 14_506_753)},
        blocks="masknet.model.seg_model",
        stock=RESOURCE_EFFICIENT,
        causal="--causal=True --bidirectional=False --norm_type=cln",
        streaming="block by block is written for Conv-TasNet alone",
        stock_mixes_batch=True,  # the causal one
        onnx="fixed",
    ),
    Network(
        name="RE-SepFormer",
        hparams="resepformer.yaml",
        builder="networks.skim.RESepFormer",
        citation="dellalibera2024resepformer",
        licence="Apache-2.0",
        sizes={"paper": ("", 7_938_689, 7_955_201)},
        blocks="masknet.model.seg_model",
        stock=RESOURCE_EFFICIENT,
        stock_mixes_batch=True,
    ),
    Network(
        name="TF-Locoformer",
        hparams="tf_locoformer.yaml",
        builder="networks.tf_locoformer.TFLocoformer",
        citation="saijo2024tflocoformer",
        licence="Apache-2.0",
        sizes={
            "S": ("", 5_031_586, 5_033_316),
            "S for WHAMR": (
                "--H=128 --K=8 --attention_dim=128 --n_fft=256",
                5_125_794,
                5_127_524,
            ),
            "M": (
                "--D=128 --B=6 --H=384 --attention_dim=128",
                14_977_922,
                14_980_228,
            ),
            "M for WHAMR": (
                "--D=128 --B=6 --H=192 --K=8 --attention_dim=128 --n_fft=256",
                14_968_706,
                14_971_012,
            ),
            "S, local gate": (
                "--local_windows=[7,31]",
                5_917_858,
                5_919_588,
            ),
        },
        blocks="paths",
    ),
    Network(
        name="TF-GridNet",
        hparams="tf_gridnet.yaml",
        builder="networks.tf_gridnet.TFGridNet",
        citation="wang2023tfgridnet",
        licence="Apache-2.0",
        sizes={"small": ("", 2_489_494, 2_490_072)},
        blocks="blocks",
        onnx="torch exports its LSTMs step by step, which takes hours",
    ),
    Network(
        name="SPMamba",
        hparams="spmamba.yaml",
        builder="networks.spmamba.SPMamba",
        citation="li2024spmamba",
        licence="Apache-2.0",
        sizes={
            "reduced": ("", 1_156_078, 1_156_368),
            "full": ("--B=6 --I=8 --heads=4 --qk=512", 6_094_208, 6_094_498),
        },
        blocks="blocks",
        fp16="a product of four projections can exceed the largest number of fp16",
    ),
    Network(
        name="MossFormer2",
        hparams="mossformer2.yaml",
        builder="networks.mossformer2.MossFormer2",
        citation="zhao2024mossformer2",
        licence="Apache-2.0",
        sizes={
            "11 blocks": ("", 26_146_350, 26_409_006),
            "24 blocks": ("--num_blocks=24", 55_472_738, 55_735_394),
        },
        blocks="masknet.blocks",
        fp16="its squared ReLU exceeds the largest number of fp16",
    ),
    Network(
        name="SepReformer",
        hparams="sepreformer.yaml",
        builder="networks.sepreformer.SepReformer",
        citation="shin2024sepreformer",
        licence="Apache-2.0",
        sizes={
            "T": ("--F=64", 3_885_248, 3_926_528),
            "B": ("", 14_527_104, 14_691_584),
            "L": ("--F=256 --dropout=0.1", 56_159_744, 56_816_384),
        },
        blocks="blocks",
        fp16="about half of its gradients underflow",
    ),
)
# Runs may name SpeechBrain's own class, which has the same parameters.
STOCK_CONV_TASNET = replace(
    CONV_TASNET, builder=CONV_TASNET.stock, blocks="masknet.temporal_conv_net"
)


def load_class(path):
    """Imports a class of the table.

    Arguments
    ---------
    path : str
        Its module and name, with dots.

    Returns
    -------
    type
        The class.
    """
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def find_network(separator):
    """Finds the entry of a separator, mask network or mapping.

    Arguments
    ---------
    separator : torch.nn.Module
        [batch, time] -> [batch, time, source].

    Returns
    -------
    Network
        None for a network that is not in the table.

    Example
    -------
    >>> import torch
    >>> find_network(torch.nn.Identity()) is None
    True
    """
    kind = type(getattr(separator, "masknet", separator))
    name = f"{kind.__module__}.{kind.__qualname__}"
    return _by_builder().get(name)


@cache
def _by_builder():
    return {entry.builder: entry for entry in (*NETWORKS, STOCK_CONV_TASNET)}
