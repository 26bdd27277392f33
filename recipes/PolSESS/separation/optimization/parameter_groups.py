"""Optimizers whose weight decay leaves gains, biases and slopes alone.

Such parameters have no scale that the next layer could undo; decay draws gains
and slopes from the values of which they are multiples. From: P. Goyal et al.,
"Accurate, large minibatch SGD", 2017.

Authors
 * The PolSESS recipe team 2026
"""

import torch


def decayed_apart(parameters, weight_decay):
    """Puts parameters into a group with weight decay and one without.

    A parameter has no decay that has at most one dimension larger than 1. So
    gains of gLN with the shape [1, 1, channel] count as vectors, which they do
    not for SpeechBrain's remove_vector_weight_decay.

    Arguments
    ---------
    parameters : iterable
        Of torch.nn.Parameter. Groups (dict) are returned as they are.
    weight_decay : float
        0 for a single group.

    Returns
    -------
    list
        Of parameters, or of groups (dict).

    Example
    -------
    >>> gain, matrix = torch.ones(1, 1, 8), torch.ones(8, 8, 1)
    >>> groups = decayed_apart([gain, matrix], weight_decay=0.1)
    >>> [len(group["params"]) for group in groups], groups[1]["weight_decay"]
    ([1, 1], 0.0)
    """
    parameters = list(parameters)
    if not weight_decay or isinstance(parameters[0], dict):
        return parameters
    matrices, vectors = [], []
    for parameter in parameters:
        is_vector = sum(size > 1 for size in parameter.shape) <= 1
        (vectors if is_vector else matrices).append(parameter)
    groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


class Apart:
    """A mixin for torch optimizers of ``decayed_apart`` parameters.

    Arguments
    ---------
    params : iterable
        Parameters or groups.
    weight_decay : float
        0 for none.
    **options : dict
        See the optimizer of torch.
    """

    def __init__(self, params, weight_decay, **options):
        groups = decayed_apart(params, weight_decay)
        super().__init__(groups, weight_decay=weight_decay, **options)

    def load_state_dict(self, state_dict):
        """Loads a state, see torch; raises ValueError for one of other groups.

        Arguments
        ---------
        state_dict : dict
            Of the same parameters.
        """
        found, expected = (
            len(state_dict["param_groups"]),
            len(self.param_groups),
        )
        if found != expected:
            raise ValueError(
                f"weight_decay: expected a checkpoint with {expected} groups of "
                f"parameters, found {found}: a resume neither switches the "
                "decay on or off, nor goes on with a run of an earlier version; "
                "name another --output_folder, with --init_from for its weights"
            )
        super().load_state_dict(state_dict)


class Adam(Apart, torch.optim.Adam):
    """torch.optim.Adam of ``decayed_apart`` parameters, see ``Apart``."""


class AdamW(Apart, torch.optim.AdamW):
    """torch.optim.AdamW of ``decayed_apart`` parameters, see ``Apart``."""
