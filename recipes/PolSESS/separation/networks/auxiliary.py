"""A loss for networks that also estimate the sources at inner stages.

Authors
 * The PolSESS recipe team 2026
"""


class AuxiliaryLoss:
    """Weighted sum of the output's loss and the mean loss of inner stages.

    With weight a it is (1 - a) loss(output) + a mean of loss(inner estimate).
    The weight falls late in training, by the epoch counter. So it is the same
    after a resume. Raises ValueError for a weight outside [0, 1].

    The authors of SepReformer compare magnitude spectra at inner stages, and
    bound the loss of the output at -30 dB. Here one loss serves for all.

    Arguments
    ---------
    loss : callable
        (estimate, reference, lengths) -> loss of each item, [batch].
    network : torch.nn.Module
        In training, each forward pass leaves ``auxiliary``, a list of
        estimates [batch, time, source].
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        ``current`` is the epoch, from 1 on.
    weight : float
        Share of the inner stages.
    decay : float
        Factor of the weight every ``decay_every`` epochs.
    decay_after : int
        Last epoch with the full weight.
    decay_every : int
        Epochs from one weight to the next.

    Example
    -------
    >>> import torch
    >>> from types import SimpleNamespace as Namespace
    >>> def loss(estimate, reference, lengths):
    ...     return (estimate - reference).abs().mean((1, 2))
    >>> network = Namespace(training=True, auxiliary=[torch.ones(2, 5, 1)])
    >>> objective = AuxiliaryLoss(loss, network, Namespace(current=1))
    >>> objective(torch.zeros(2, 5, 1), torch.zeros(2, 5, 1))
    tensor([0.4000, 0.4000])
    """

    def __init__(
        self,
        loss,
        network,
        epoch_counter,
        weight=0.4,
        decay=0.8,
        decay_after=100,
        decay_every=5,
    ):
        if not 0 <= weight <= 1:
            raise ValueError(
                f"weight: expected a number from 0 to 1, found {weight}"
            )
        self.loss = loss
        self.network = network
        self.epoch_counter = epoch_counter
        self.weight = weight
        self.decay = decay
        self.decay_after = decay_after
        self.decay_every = decay_every

    def current_weight(self):
        """Returns the share of the inner stages in the current epoch."""
        late = self.epoch_counter.current - self.decay_after - 1
        steps = 0 if late < 0 else 1 + late // self.decay_every
        return self.weight * self.decay**steps

    def __call__(self, estimate, reference, lengths=None):
        """Returns the loss of each item, [batch]; lower is better.

        The inner estimates are removed from the network, and their graph with
        them. Without any, and in evaluation, it is the loss of the output.
        """
        auxiliary, self.network.auxiliary = self.network.auxiliary, []
        total = self.loss(estimate, reference, lengths)
        if not (self.network.training and auxiliary):
            return total
        weight = self.current_weight()
        inner = [self.loss(x, reference, lengths) for x in auxiliary]
        return (1 - weight) * total + weight * sum(inner) / len(inner)
