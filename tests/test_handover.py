"""A worker's tensors arrive as they were, through memory that is used again."""

import multiprocessing
import pickle
import time
from multiprocessing.reduction import ForkingPickler

import handover
import pytest
import torch
from batches import JoinedBatch
from handover import Handed
from torch.utils.data import DataLoader


class Signals(torch.utils.data.Dataset):
    """Item i is a ramp from i, of a length that goes up and down."""

    def __init__(self, n_items, dtype=torch.float32, first=0):
        self.n_items, self.dtype, self.first = n_items, dtype, first

    def __len__(self):
        return self.n_items

    def __getitem__(self, i):
        length = 1000 + 997 * (7 * i % 11)
        signal = self.first + i + torch.arange(length).to(self.dtype) / length
        return {"id": i, "signal": signal, "sources": signal.repeat(2, 1).T}


def check(batches, dataset):
    """All items came once, in order, with their values."""
    expected = iter(range(len(dataset)))
    for batch in batches:
        for row, number in enumerate(batch.id):
            item = dataset[next(expected)]
            assert number == item["id"]
            for key in ("signal", "sources"):
                found = getattr(batch, key)
                length = round(float(found.lengths[row]) * found.data.shape[1])
                assert found.data.dtype == item[key].dtype
                assert torch.equal(found.data[row, :length], item[key])
                assert not found.data[row, length:].any()
    assert next(expected, None) is None


def lasting_loader(dataset, num_workers, **options):
    """A loader of batches of two whose workers live as long as it."""
    return DataLoader(
        dataset,
        2,
        num_workers=num_workers,
        collate_fn=JoinedBatch,
        persistent_workers=True,
        **options,
    )


@pytest.mark.parametrize(
    "start, dtype",
    [
        ("fork", torch.float32),
        ("spawn", torch.float32),
        ("fork", torch.int16),  # lengths are of another type: one by one
    ],
)
def test_batches_that_are_kept_stay_as_they_were(start, dtype):
    dataset = Signals(40, dtype)
    loader = DataLoader(
        dataset,
        3,
        num_workers=2,
        collate_fn=JoinedBatch,
        multiprocessing_context=start,
    )
    check(list(loader), dataset)


@pytest.mark.parametrize("prefetch", [1, 4])
def test_memory_is_used_again(prefetch):
    """However fast the receiver; that of earlier workers is given back."""
    dataset = Signals(60)
    for _ in range(2):
        loader = lasting_loader(dataset, 2, prefetch_factor=prefetch)
        check(loader, dataset)
        check([[batch, time.sleep(0.01)][0] for batch in loader], dataset)
        running = {child.pid for child in multiprocessing.active_children()}
        pieces = [key for key in handover._received if key[0] in running]
        assert 2 <= len(pieces) <= 2 * (prefetch + 1)
        assert all(number <= prefetch for _, number in pieces)
        assert len(handover._received) == len(pieces)
        del loader


def test_an_epoch_that_is_left_does_not_spoil_the_next():
    dataset = Signals(30)
    loader = lasting_loader(dataset, num_workers=2)
    for n_batches in (1, 4):
        kept = [batch for batch, _ in zip(loader, range(n_batches))]
        check(loader, dataset)
        assert torch.equal(kept[0].signal.data[0, :1000], dataset[0]["signal"])


def test_two_loaders_at_once_are_told_apart():
    datasets = Signals(20), Signals(20, first=100)
    loaders = [
        DataLoader(d, 2, num_workers=1, collate_fn=JoinedBatch)
        for d in datasets
    ]
    batches = list(zip(*loaders))
    for number, dataset in enumerate(datasets):
        check([pair[number] for pair in batches], dataset)


def hand(items):
    """Gives a tensor of one's own choice to a worker to hand over."""
    return Handed(items[0])


@pytest.mark.parametrize("is_full", [False, True])
def test_any_tensor_arrives_even_where_no_shared_memory_is_left(
    is_full, monkeypatch
):
    dataset = [
        torch.randn(3, 4).T,
        torch.empty(0, 2),
        torch.tensor(5),
        torch.tensor([True, False]),
        torch.randn(2, 3).bfloat16(),
        torch.randn(5, requires_grad=True).double(),
    ]

    def fail(tensor):
        raise RuntimeError("unable to allocate shared memory")

    if is_full:
        monkeypatch.setattr(torch.Tensor, "share_memory_", fail)
    loader = DataLoader(dataset, 1, num_workers=1, collate_fn=hand)
    before = set(handover._received)
    for found, expected in zip(loader, dataset, strict=True):
        assert found.tensor.dtype == expected.dtype
        assert torch.equal(found.tensor, expected)
        found.tensor.zero_()
        assert (set(handover._received) == before) == is_full


def test_what_was_received_in_inference_mode_can_be_filled_again():
    dataset = Signals(20)
    loader = lasting_loader(dataset, num_workers=1)
    with torch.inference_mode():
        check(loader, dataset)
    check(loader, dataset)


def test_a_piece_of_a_worker_that_has_ended_is_an_error_of_the_connection():
    with pytest.raises(EOFError, match="process -1, which made it, has ended"):
        handover._receive(-1, 0, None, torch.float32, torch.Size([2]))


def test_elsewhere_a_tensor_travels_as_it_is():
    given = torch.randn(3, 2)
    data = pickle.dumps(Handed(given))
    for _ in range(2):  # does not depend on what was sent before
        assert torch.equal(pickle.loads(data).tensor, given)
    data = ForkingPickler.dumps(Handed(given))  # as to a process of one's own
    assert torch.equal(pickle.loads(data).tensor, given)
    assert not handover._own  # as this is no worker
