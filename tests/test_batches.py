"""Batches arrive from a worker as they were made, by one connection."""

import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from batches import JoinedBatch, pad_right
from torch.multiprocessing import reductions

from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.data_utils import batch_pad_right

SOURCES = [torch.randn(n, 2) for n in (5, 9, 7)]
ITEMS = [
    {"id": f"item {i}", "mix_sig": s.sum(-1), "sources_sig": s, "speakers": 2}
    for i, s in enumerate(SOURCES)
]


def assert_equal(found, expected):
    """Both batches have the same in every key."""
    assert len(found) == len(expected)
    assert found.id == expected.id
    assert torch.equal(found.speakers, expected.speakers)
    for key in ("mix_sig", "sources_sig"):
        for one, other in zip(found[key], expected[key]):
            assert torch.equal(one, other) and one.dtype == other.dtype


def test_a_worker_hands_over_what_speechbrains_batch_holds():
    loader = torch.utils.data.DataLoader(
        ITEMS, 2, num_workers=1, collate_fn=JoinedBatch
    )
    batches = list(loader)
    assert [len(batch) for batch in batches] == [2, 1]
    for batch, items in zip(batches, (ITEMS[:2], ITEMS[2:])):
        assert isinstance(batch, JoinedBatch)
        assert_equal(batch, PaddedBatch(items))
        moved = batch.to("cpu", torch.float64)
        assert moved.mix_sig.data.dtype == torch.float64
        assert [value for value in batch][0] == batch.id


@pytest.mark.parametrize("lengths", [(4,), (4, 4, 4), (4, 6), (3, 0)])
def test_tensors_are_padded_as_by_speechbrain(lengths):
    tensors = [torch.randn(length, 2) for length in lengths]
    found, expected = pad_right(tensors), batch_pad_right(tensors)
    for one, other in zip(found, expected):
        assert torch.equal(one, other) and one.dtype == other.dtype


def test_options_of_padding_are_those_of_speechbrain():
    items = [{"a": torch.ones(2)}, {"a": torch.ones(3)}]
    batch = JoinedBatch(items, padding_kwargs={"value": -1.0})
    assert batch.a.data.tolist() == [[1, 1, -1], [1, 1, 1]]


def test_what_cannot_be_padded_is_an_error_as_with_speechbrain():
    with pytest.raises(OSError, match="except for the first"):
        pad_right([torch.ones(3, 1), torch.ones(3, 2)])


def test_its_signals_are_one_tensor_on_the_way(monkeypatch):
    shared = []
    reduce = reductions.reduce_tensor
    monkeypatch.setitem(
        ForkingPickler._extra_reducers,
        torch.Tensor,
        lambda tensor: [shared.append(tensor), reduce(tensor)][1],
    )
    items = [{k: v for k, v in i.items() if k != "speakers"} for i in ITEMS]
    ForkingPickler.dumps(JoinedBatch(items))
    assert len(shared) == 1
    ForkingPickler.dumps(PaddedBatch(items))
    assert len(shared) == 1 + 4


def test_a_batch_that_was_handed_over_can_be_changed_in_place():
    batch = pickle.loads(pickle.dumps(JoinedBatch(ITEMS)))
    batch.mix_sig.data.zero_()
    expected = PaddedBatch(ITEMS)
    assert torch.equal(batch.sources_sig.data, expected.sources_sig.data)
    assert torch.equal(batch.mix_sig.lengths, expected.mix_sig.lengths)


@pytest.mark.parametrize(
    "items",
    [
        [{"id": "no signal"}],
        [
            {
                "id": "of two types",
                "a": torch.ones(2),
                "b": torch.ones(2).double(),
            }
        ],
    ],
)
def test_other_batches_travel_as_they_are(items):
    found = pickle.loads(pickle.dumps(JoinedBatch(items)))
    for key, value in vars(PaddedBatch(items)).items():
        if isinstance(value, tuple):
            assert all(map(torch.equal, getattr(found, key), value))
            assert getattr(found, key)[0].dtype == value[0].dtype
        else:
            assert getattr(found, key) == value
