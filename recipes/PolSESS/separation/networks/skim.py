"""SpeechBrain's SkiM and RE-SepFormer, for batches of several mixtures.

Parameters, their names, and the result of a single mixture are those of
SpeechBrain's ResourceEfficientSeparator. What differs:

* The memory of RE-SepFormer attends over the chunks of its own mixture.
  SpeechBrain's attends over those of the whole batch.
* The first chunk of a causal SkiM starts without a state. SpeechBrain's takes
  that of the item before it in the batch.
* Each block is made on its own, see ``dual_path``.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from networks.dual_path import check_factory
from networks.mapping import check_sizes
from speechbrain.lobes.models import resepformer
from speechbrain.lobes.models.dual_path import GlobalLayerNorm


class Pipeline(resepformer.ResourceEfficientSeparationPipeline):
    """Blocks within chunks, and a memory that connects the chunks.

    Arguments
    ---------
    seg_model, mem_model : callable
        Factories of the blocks and of the memories between them.
    num_blocks : int
        Number of blocks.
    **options : object
        Other arguments of SpeechBrain's class.
    """

    def __init__(self, seg_model, mem_model, num_blocks, **options):
        super().__init__(num_blocks=0, **options)
        self.num_blocks = num_blocks
        self.seg_model.extend(seg_model() for _ in range(num_blocks))
        if self.mem_type is not None:
            self.mem_model.extend(mem_model() for _ in range(num_blocks - 1))

    def forward(self, input):
        """Maps [batch, frame, feature] to [batch, frame, output feature]."""
        batch, frames, features = input.shape
        size = self.segment_size
        chunks = frames // size + 1
        output = F.pad(input, (0, 0, 0, chunks * size - frames))
        output = output.reshape(batch * chunks, size, features)
        state = None
        if self.mem_type == "av":
            state = output.new_zeros(batch * chunks, 1, features)
        for number, block in enumerate(self.seg_model):
            if self.mem_type == "av":
                output = block(output + state)
            else:
                output, state = block(output, state)
                # While torch exports, an LSTM's state has a dimension too many.
                state = tuple(x.flatten(1, -2) for x in state)
            if number < self.num_blocks - 1 and self.mem_type is not None:
                state = self._remember(number, output, state, chunks)
        # A slice by a length would keep ONNX to one length.
        output = output.reshape(batch, -1, features).narrow(1, 0, frames)
        return self.output_fc(output.transpose(1, 2)).transpose(1, 2)

    def _remember(self, number, output, state, chunks):
        """The states with which the next block begins, a chunk each."""
        memory = self.mem_model[number]
        if self.mem_type == "av":
            means = output.mean(1).unflatten(0, (-1, chunks))
            return memory(means).flatten(0, 1).unsqueeze(1)
        state = memory(state, chunks)
        if memory.bidirectional:
            return state
        # The first chunk of each item has none before it.
        has_past = torch.arange(chunks, device=output.device) > 0
        return tuple(
            (x.unflatten(1, (-1, chunks)) * has_past[:, None]).flatten(1, 2)
            for x in state
        )


class ResourceEfficient(resepformer.ResourceEfficientSeparator):
    """Mask network of blocks within chunks and a memory across them.

    Raises ValueError for blocks that are no factories, and for sizes below 1.

    Arguments
    ---------
    input_dim : int
        Channels of the encoder.
    causal : bool
        Whether the blocks are causal.
    num_spk : int
        Number of sources.
    nonlinear : str
        relu, tanh or sigmoid, of the masks.
    layer : int
        Number of blocks.
    unit : int
        Units of an LSTM.
    segment_size : int
        Frames of a chunk.
    dropout : float
        Not used by SpeechBrain; the blocks have one.
    mem_type : str
        hc, h, c or id for SkiM, av for RE-SepFormer.
    seg_model, mem_model : callable
        Factories of the blocks and of the memories between them.
    """

    def __init__(
        self,
        input_dim,
        causal=True,
        num_spk=2,
        nonlinear="relu",
        layer=3,
        unit=512,
        segment_size=20,
        dropout=0.0,
        mem_type="hc",
        seg_model=None,
        mem_model=None,
    ):
        check_sizes(segment_size=segment_size, layer=layer, num_spk=num_spk)
        check_factory("seg_model", seg_model)
        check_factory("mem_model", mem_model)
        super().__init__(
            input_dim, causal, num_spk, nonlinear, layer=0, mem_type=mem_type
        )
        self.num_spks = num_spk
        self.segment_size = segment_size
        self.model = Pipeline(
            seg_model,
            mem_model,
            num_blocks=layer,
            input_size=input_dim,
            hidden_size=unit,
            output_size=input_dim * num_spk,
            segment_size=segment_size,
            mem_type=mem_type,
        )


class SkiM(ResourceEfficient):
    """LSTMs with a skipping memory, https://arxiv.org/abs/2201.10800.

    Raises ValueError when causal is True and its blocks are not causal.
    Arguments are those of ``ResourceEfficient``.
    """

    def __init__(self, input_dim, causal=True, *args, **options):
        super().__init__(input_dim, causal, *args, **options)
        looks_ahead = [
            name
            for name, module in self.named_modules()
            if getattr(module, "bidirectional", False)
            or isinstance(module, GlobalLayerNorm)
        ]
        if causal and looks_ahead:
            raise ValueError(
                f"causal: {looks_ahead[0]} reads later frames; use "
                "--bidirectional=False --norm_type=cln"
            )


class RESepFormer(ResourceEfficient):
    """Transformers with a memory of means, https://arxiv.org/abs/2206.09507.

    Raises ValueError when causal is True: a mean is that of a whole chunk.
    Arguments are those of ``ResourceEfficient``.
    """

    def __init__(self, input_dim, causal=True, *args, **options):
        if causal:
            raise ValueError(
                "causal: expected False, found True: the memory of "
                "RE-SepFormer is the mean of a chunk, later frames included"
            )
        super().__init__(input_dim, causal, *args, **options)
