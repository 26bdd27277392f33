"""Options of an optimizer that were changed since its state was saved.

Authors
 * The PolSESS recipe team 2026
"""

GIVEN = "given"  # in each group: what the optimizer was made with


def apply_changed_options(optimizer):
    """Lets changed options, for instance lr, take effect after a resume.

    The state of an optimizer holds its options, which SpeechBrain loads over
    those of the YAML without a word. Here an option counts as changed if the
    optimizer of the checkpoint was made with another one; what a scheduler has
    made of the learning rate stays otherwise.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        After its state has been loaded, or without one; changed in place.

    Example
    -------
    >>> import torch
    >>> weights = [torch.zeros(1)]
    >>> old = torch.optim.Adam(weights, lr=0.1, weight_decay=0.5)
    >>> apply_changed_options(old)
    >>> old.param_groups[0]["lr"] = 0.01  # by a scheduler
    >>> new = torch.optim.Adam(weights, lr=0.1, weight_decay=0.25)
    >>> new.load_state_dict(old.state_dict())
    >>> apply_changed_options(new)
    >>> new.param_groups[0]["lr"], new.param_groups[0]["weight_decay"]
    (0.01, 0.25)
    """
    for group in optimizer.param_groups:
        before = group.get(GIVEN, optimizer.defaults)
        for name, value in optimizer.defaults.items():
            old = before.get(name)
            # Biases may have a weight decay of their own.
            if value != old and (name == "lr" or group.get(name) == old):
                group[name] = value
        group[GIVEN] = dict(optimizer.defaults)
