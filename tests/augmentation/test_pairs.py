"""Batches of as many indoor as outdoor mixtures."""

import logging

import pandas as pd
import pytest
from augmentation.pairs import SettingPairSampler
from mixtures import Mixer

VARIANTS_OF = {"indoor": ["SER", "R"], "outdoor": ["SE", "S"]}


def sampler(indoor, outdoor, batch_size=2, seed=1, curriculum=None):
    """A sampler of so many mixtures, the indoor ones first, and its mixer."""
    settings = ["indoor"] * indoor + ["outdoor"] * outdoor
    mixtures = {
        f"id{i}": {"setting": setting, "variants": VARIANTS_OF[setting]}
        for i, setting in enumerate(settings)
    }
    variants = ["SER", "R", "SE", "S"]
    mixer = Mixer("ES", variants, seed, 8000, curriculum=curriculum)
    return SettingPairSampler(mixtures, mixer, batch_size), mixer


def test_each_batch_has_both_settings_and_each_mixture_comes_once():
    order = list(sampler(6, 6)[0])
    assert sorted(order) == list(range(12))
    assert all(a < 6 <= b for a, b in zip(order[::2], order[1::2]))


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = set()
    for seed in (1, 2):
        for epoch in (1, 2):
            pairs, mixer = sampler(20, 20, seed=seed)
            mixer.set_epoch(epoch)
            assert list(pairs) == list(pairs)
            orders.add(tuple(pairs))
    assert len(orders) == 4


def test_the_surplus_changes_and_is_said_once(caplog):
    caplog.set_level(logging.WARNING)
    pairs, mixer = sampler(4, 9)
    (record,) = caplog.records
    assert "4 indoor and 9 outdoor mixtures: an epoch takes 4" in record.message
    left_out = set()
    for epoch in range(1, 8):
        mixer.set_epoch(epoch)
        order = list(pairs)
        assert len(order) == len(pairs) == 8 and len(set(order)) == 8
        left_out |= set(range(4, 13)) - set(order)
    assert left_out == set(range(4, 13))


@pytest.mark.parametrize("ranks", [2, 3])
def test_each_rank_has_both_settings_in_turn(monkeypatch, ranks):
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    pairs, _ = sampler(7, 8)
    order = list(pairs)
    assert len(order) == len(pairs) == 2 * (7 - 7 % ranks)
    for rank in range(ranks):
        of_rank = order[rank::ranks]
        assert all(a < 7 <= b for a, b in zip(of_rank[::2], of_rank[1::2]))


@pytest.mark.parametrize("batch_size", [1, 3, 0, 2.0, None])
def test_an_odd_batch_is_refused(batch_size):
    with pytest.raises(ValueError, match="batch_size: expected an even number"):
        sampler(2, 2, batch_size)


def test_a_missing_setting_is_refused_with_its_epoch():
    with pytest.raises(ValueError, match="epoch 1 on.*found 3 indoor and 0"):
        sampler(3, 0)
    stages = [{"epoch": 4, "variants": ["S", "SE"]}]
    with pytest.raises(ValueError, match="epoch 4 on.*found 0 indoor and 3"):
        sampler(3, 3, curriculum=stages)


def test_the_set_up_of_the_corpus_paper_trains(server, tmp_path):
    ended = server.train(
        tmp_path / "run",
        *["--metrics=[si_sdr]", "--kernel_size=usual", "--stride=usual"],
        name="klec2024.yaml",
    )
    assert ended.code == 0, ended.output[-3000:]
    scores = pd.read_csv(tmp_path / "run/test_scores.csv")
    assert set(scores["variant"]) == {"SER"}
    log = (tmp_path / "run/train_log.txt").read_text(encoding="utf-8")
    assert "valid SI-SDRi SE: " in log and "valid SI-SDRi SR: " not in log
