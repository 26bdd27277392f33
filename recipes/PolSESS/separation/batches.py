"""Batches that cost a data loader's worker little to hand over.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from handover import Handed

from speechbrain.dataio.batch import PaddedBatch, PaddedData
from speechbrain.utils.data_utils import batch_pad_right


def pad_right(tensors, **options):
    """``batch_pad_right``, in half the time where nothing is to be padded.

    Arguments
    ---------
    tensors : list of torch.Tensor
        [time, ...] each.
    **options : dict
        How ``batch_pad_right`` pads.

    Returns
    -------
    tensor : torch.Tensor
        [batch, time, ...]
    lengths : torch.Tensor
        Of each one, as a share of the longest, [batch].

    Example
    -------
    >>> pad_right([torch.ones(2), torch.ones(2)])
    (tensor([[1., 1.],
            [1., 1.]]), tensor([1., 1.]))
    """
    if any(t.shape != tensors[0].shape or t.ndim == 0 for t in tensors):
        return batch_pad_right(tensors, **options)
    return torch.stack(tensors), torch.ones(len(tensors))


class JoinedBatch(PaddedBatch):
    """A PaddedBatch whose padded tensors travel between processes as one.

    A worker hands each tensor over by itself, which takes longer than making it;
    see ``handover``. What arrives is equal; its tensors share one piece of memory,
    without overlap. Tensors of several types travel one by one.

    Arguments
    ---------
    examples : list of dict
        See PaddedBatch.
    padding_func : callable
        See PaddedBatch.
    **options : dict
        See PaddedBatch.

    Example
    -------
    >>> import copy
    >>> batch = JoinedBatch(
    ...     [{"signal": torch.ones(2)}, {"signal": torch.ones(4)}]
    ... )
    >>> arrived = copy.copy(
    ...     batch
    ... )  # by the same two methods as in a data loader
    >>> arrived.signal.data
    tensor([[1., 1., 0., 0.],
            [1., 1., 1., 1.]])
    >>> arrived.signal.lengths
    tensor([0.5000, 1.0000])
    """

    def __init__(self, examples, padding_func=pad_right, **options):
        super().__init__(examples, padding_func=padding_func, **options)

    def __getstate__(self):
        """What is not padded, the padded tensors' shapes, and these as one."""
        state = dict(vars(self))
        padded = {k: v for k, v in state.items() if isinstance(v, PaddedData)}
        tensors = [tensor for pair in padded.values() for tensor in pair]
        if len({tensor.dtype for tensor in tensors}) != 1:
            return state, None, None  # one tensor has one type
        shapes = {k: [t.shape for t in pair] for k, pair in padded.items()}
        joined = torch.cat([tensor.flatten() for tensor in tensors])
        rest = {k: v for k, v in state.items() if k not in padded}
        return rest, shapes, Handed(joined)

    def __setstate__(self, parts):
        """Takes what ``__getstate__`` returned."""
        state, shapes, joined = parts
        vars(self).update(state)
        if shapes is None:
            return
        sizes = [s.numel() for pair in shapes.values() for s in pair]
        pieces = iter(joined.tensor.split(sizes))
        for key, pair in shapes.items():
            tensors = [next(pieces).view(shape) for shape in pair]
            setattr(self, key, PaddedData(*tensors))
