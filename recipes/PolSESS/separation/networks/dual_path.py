"""SpeechBrain's dual-path networks, DPRNN and SepFormer.

Parameters, their names and the result are those of SpeechBrain's
Dual_Path_Model. What differs:

* Each block is made on its own. SpeechBrain copies one block, so that all start
  with equal weights.
* Chunks are cut and joined without control flow that depends on the length, so
  that SepFormer exports to ONNX with any length.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from networks.mapping import check_multiple, check_sizes
from speechbrain.lobes.models import dual_path
from speechbrain.lobes.models.transformer.Transformer import PositionalEncoding

SIZES = (
    "num_layers d_model nhead d_ffn input_size hidden_size hidden_channels"
).split()
# They lack batch_first, and attend over the items of a batch.
NOT_OFFERED = (dual_path.DPTNetBlock, dual_path.PytorchTransformerBlock)


def check_factory(key, factory):
    """Raises ValueError unless a block comes as a factory of a usable class.

    It also does when its sizes are not whole numbers from 1 on, when the heads
    do not divide the channels, and for norms other than ln, gln and cln.

    Arguments
    ---------
    key : str
        Key of the YAML.
    factory : callable
        Without arguments, it makes a block.
    """
    if isinstance(factory, torch.nn.Module) or not callable(factory):
        raise ValueError(
            f"{key}: expected a factory (!name: in the YAML), which makes a "
            f"block for each layer, found {type(factory).__name__}"
        )
    kind = getattr(factory, "func", factory)
    if kind in NOT_OFFERED:
        raise ValueError(
            f"{key}: {kind.__name__} attends over the items of a batch; use "
            "SBTransformerBlock"
        )
    given = getattr(factory, "keywords", {})
    sizes = {k: v for k, v in given.items() if k in SIZES}
    check_sizes(**{f"{key}: {name}": size for name, size in sizes.items()})
    if "nhead" in sizes and "d_model" in sizes:
        check_multiple(
            f"{key}: d_model", sizes["d_model"], sizes["nhead"], "nhead"
        )
    check_norm(f"{key}: norm_type", given.get("norm_type", "ln"))


def check_norm(key, norm):
    """Raises ValueError for a norm that SpeechBrain takes for a batch norm.

    Arguments
    ---------
    key : str
        Key of the YAML.
    norm : str
        Name of the norm.
    """
    if norm not in ("ln", "gln", "cln"):
        raise ValueError(f"{key}: expected ln, gln or cln, found {norm!r}")


class DualPath(dual_path.Dual_Path_Model):
    """Mask network that works within chunks and across chunks in turn.

    Raises ValueError for an odd K, for another norm, for blocks that are no
    factories, and for a mixture of more chunks than a block has positions.

    Arguments
    ---------
    in_channels : int
        Channels of the encoder.
    out_channels : int
        Channels of the blocks.
    intra_model, inter_model : callable
        Factories of the blocks within chunks and across chunks.
    num_layers : int
        Number of pairs of them.
    norm : str
        ln, gln or cln.
    K : int
        Frames of a chunk; neighbours share half of them.
    num_spks : int
        Number of sources.
    skip_around_intra : bool
        Whether a block within chunks is added to its input.
    linear_layer_after_inter_intra : bool
        Whether a linear layer follows each block.

    Example
    -------
    >>> from functools import partial
    >>> block = partial(dual_path.SBTransformerBlock, 1, 8, 2, d_ffn=8)
    >>> masknet = DualPath(4, 8, block, block, K=10)
    >>> masknet(torch.rand(3, 4, 99)).shape
    torch.Size([2, 3, 4, 99])
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        intra_model,
        inter_model,
        num_layers=1,
        norm="ln",
        K=200,
        num_spks=2,
        skip_around_intra=True,
        linear_layer_after_inter_intra=True,
    ):
        check_multiple("K", K, 2, "chunks share halves")
        check_sizes(num_layers=num_layers, num_spks=num_spks)
        check_norm("norm", norm)
        check_factory("intra_model", intra_model)
        check_factory("inter_model", inter_model)
        super().__init__(
            in_channels,
            out_channels,
            intra_model=None,
            inter_model=None,
            num_layers=0,
            norm=norm,
            K=K,
            num_spks=num_spks,
        )
        self.num_layers = num_layers
        for _ in range(num_layers):
            block = dual_path.Dual_Computation_Block(
                intra_model(),
                inter_model(),
                out_channels,
                norm,
                skip_around_intra,
                linear_layer_after_inter_intra,
            )
            self.dual_mdl.append(block)
        lengths = [
            module.pe.shape[1]
            for module in self.modules()
            if isinstance(module, PositionalEncoding)
        ]
        self.max_chunks = min(lengths, default=None)

    def _Segmentation(self, input, K):
        """Cuts [batch, channel, frame] into chunks; returns the length, too."""
        half, frames = K // 2, input.shape[-1]
        chunks = (frames + half) // K * 2 + 2
        if not torch.compiler.is_compiling() and self.max_chunks is not None:
            if chunks > self.max_chunks:
                raise ValueError(
                    f"expected a mixture of at most {self.max_chunks} chunks of "
                    f"{K} frames, the positions that the network knows, found "
                    f"{chunks}; separate it in windows"
                )
        halves = F.pad(input, (half, chunks * half - frames))
        halves = halves.unflatten(2, (chunks + 1, half))
        pairs = halves.narrow(2, 0, chunks), halves.narrow(2, 1, chunks)
        return torch.cat(pairs, -1).transpose(2, 3).contiguous(), frames

    def _over_add(self, input, gap):
        """Adds chunks where they overlap; gap is the length."""
        chunks, half = input.transpose(2, 3), self.K // 2
        first = F.pad(chunks[..., :half], (0, 0, 0, 1))
        second = F.pad(chunks[..., half:], (0, 0, 1, 0))
        return (first + second).flatten(2).narrow(-1, half, gap)


class DPRNN(DualPath):
    """Dual-path network of LSTMs, https://arxiv.org/abs/1910.06379."""


class SepFormer(DualPath):
    """Dual-path network of transformers, https://arxiv.org/abs/2010.13154."""
