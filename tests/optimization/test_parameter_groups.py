"""Which parameters decay, and that nothing else changes."""

from copy import deepcopy

import pytest
import torch
from optimization.parameter_groups import Adam, AdamW
from reliability.training import apply_changed_options
from tiny_networks import TINY, tiny

from speechbrain.utils.optimizers import rm_vector_weight_decay

STOCK = {Adam: torch.optim.Adam, AdamW: torch.optim.AdamW}
GAINS = ("gamma", "beta", "bias", "norm", "act", "slope", "gain")


def step(network, optimizer):
    """Makes a step with gradients that are the same each time."""
    for number, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, 0.1 * (number + 1))
    optimizer.step()


@pytest.mark.parametrize("name", ["Conv-TasNet", "DPRNN", "SepReformer"])
def test_gains_biases_and_slopes_do_not_decay(name):
    network = tiny(name)
    names = {id(p): n for n, p in network.named_parameters()}
    decayed, others = Adam(network.parameters(), weight_decay=1.0).param_groups
    assert decayed["weight_decay"] == 1 and others["weight_decay"] == 0
    found = [names[id(p)] for p in decayed["params"]]
    wrong = [n for n in found if any(x in n.split(".")[-2:] for x in GAINS)]
    assert found and not [n for n in wrong if not n.endswith("weight")]
    shapes = {tuple(p.shape) for p in others["params"]}
    if name == "Conv-TasNet":
        assert (1, 1, 8) in shapes  # a gain of gLN
    assert len(decayed["params"]) + len(others["params"]) == len(names)


@pytest.mark.parametrize("kind", STOCK)
def test_decay_of_a_step_in_closed_form(kind):
    """Decoupled decay shrinks a weight by lr * decay; the moments do the rest."""
    network = torch.nn.ParameterList([torch.ones(2, 2), torch.ones(1, 2, 1)])
    optimizer = kind(network.parameters(), lr=0.1, weight_decay=0.5)
    step(network, optimizer)
    # The first step of Adam moves by lr, with any gradient of this sign.
    shrunk = 0.1 * 0.5 if kind is AdamW else 0.0
    for parameter, expected in zip(network, (0.9 - shrunk, 0.9)):
        assert parameter.detach().numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", STOCK)
def test_without_decay_it_is_the_optimizer_of_torch(kind):
    networks = [tiny("Conv-TasNet") for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    ours, stock = (
        make(network.parameters(), lr=0.1, weight_decay=0.0)
        for make, network in zip((kind, STOCK[kind]), networks)
    )
    step(networks[1], stock)
    step(networks[0], ours)
    ours.load_state_dict(deepcopy(stock.state_dict()))  # of an older run
    for optimizer, network in zip((ours, stock), networks):
        step(network, optimizer)
    for one, other in zip(*(network.parameters() for network in networks)):
        assert torch.equal(one, other)


def test_groups_of_speechbrain_stay():
    network = tiny("Conv-TasNet")
    groups = rm_vector_weight_decay(network)
    optimizer = Adam(groups, lr=0.1, weight_decay=0.5)
    assert len(optimizer.param_groups) == 2
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 0.5]


def test_changed_options_leave_the_group_without_decay_alone():
    network = tiny("Conv-TasNet")
    old = Adam(network.parameters(), lr=0.1, weight_decay=0.5)
    apply_changed_options(old)
    new = Adam(network.parameters(), lr=0.2, weight_decay=0.25)
    new.load_state_dict(old.state_dict())
    apply_changed_options(new)
    rates = [(g["lr"], g["weight_decay"]) for g in new.param_groups]
    assert rates == [(0.2, 0.25), (0.2, 0.0)]


@pytest.mark.parametrize("before, now", [(0.0, 0.1), (0.1, 0.0)])
def test_a_resume_that_switches_the_decay_is_refused(before, now):
    parameters = [torch.zeros(2, 2), torch.zeros(2)]
    old = Adam(parameters, weight_decay=before).state_dict()
    with pytest.raises(ValueError, match="^weight_decay: .*--init_from"):
        Adam(parameters, weight_decay=now).load_state_dict(old)


def test_each_network_has_both_groups():
    for name in TINY:
        weights = tiny(name).parameters()
        groups = AdamW(weights, weight_decay=0.01).param_groups
        assert [g["weight_decay"] for g in groups] == [0.01, 0.0], name
