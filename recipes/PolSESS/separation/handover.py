"""Hands tensors from a data loader's worker over through memory used again.

torch makes shared memory for each tensor and opens a connection to pass it on,
which takes longer than making the signals. Here a worker keeps some pieces of
shared memory; each is passed on once, and filled again as soon as the receiver
has copied what was in it. Where no shared memory is left the pipe takes all.

Authors
 * The PolSESS recipe team 2026
"""

import multiprocessing
import os
from multiprocessing.reduction import ForkingPickler

import torch

HEAD = 64  # bytes before the tensor; the first one is 1 while it is being read
_own = []  # the pieces of this process, if it is a worker
_received = {}  # (process, number) -> a piece of a worker's


class Handed:
    """A tensor on its way; pickled otherwise than by a worker, it is as it is.

    Arguments
    ---------
    tensor : torch.Tensor
        On the CPU.

    Example
    -------
    >>> import pickle
    >>> pickle.loads(pickle.dumps(Handed(torch.ones(2)))).tensor
    tensor([1., 1.])
    """

    def __init__(self, tensor):
        self.tensor = tensor


def _bytes(tensor):
    return tensor.detach().flatten().view(torch.uint8).numpy()


def _free_piece(n_bytes):
    """The number of a piece for so many bytes, and the piece if it is new."""
    free = [number for number, piece in enumerate(_own) if not piece[0]]
    fits = [number for number in free if len(_own[number]) >= HEAD + n_bytes]
    if fits:
        return min(fits, key=lambda number: len(_own[number])), None
    # No more than the batches that the loader has asked for are on their way.
    number = free[0] if free else len(_own)
    piece = torch.zeros(HEAD + n_bytes, dtype=torch.uint8).share_memory_()
    _own[number : number + 1] = [piece.numpy()]
    return number, piece


def _hand_over(handed):
    """What ForkingPickler sends of a tensor."""
    tensor = handed.tensor
    if torch.utils.data.get_worker_info() is None:
        return Handed, (tensor,)
    if not _own:
        _received.clear()  # inherited; the parent's pieces are to be freed
    form = tensor.dtype, tensor.shape
    try:
        number, piece = _free_piece(tensor.nbytes)
    except (OSError, RuntimeError):  # no shared memory is left
        return _copy, (_bytes(tensor), *form)
    _own[number][0] = 1
    _own[number][HEAD : HEAD + tensor.nbytes] = _bytes(tensor)
    return _receive, (os.getpid(), number, piece, *form)


def _receive(process, number, piece, dtype, shape):
    """What is made of it at the other end."""
    if piece is not None:
        running = {child.pid for child in multiprocessing.active_children()}
        for key in list(_received):
            if key[0] not in running:
                _received.pop(key, None)
        # As an array: in inference mode it could not be changed later.
        _received[process, number] = piece.numpy()
    try:
        piece = _received[process, number]
    except KeyError:
        raise EOFError(f"process {process}, which made it, has ended") from None
    n_bytes = shape.numel() * dtype.itemsize
    copy = _copy(piece[HEAD : HEAD + n_bytes], dtype, shape)
    piece[0] = 0
    return copy


def _copy(data, dtype, shape):
    tensor = torch.empty(shape, dtype=dtype)
    _bytes(tensor)[:] = data
    return Handed(tensor)


ForkingPickler.register(Handed, _hand_over)
