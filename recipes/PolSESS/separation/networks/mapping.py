"""What networks that map a mixture to its sources, without a mask, share.

Authors
 * The PolSESS recipe team 2026
"""


def check_length(mixture, min_samples):
    """Raises ValueError when a mixture is shorter than the network takes.

    Arguments
    ---------
    mixture : torch.Tensor
        [batch, time]
    min_samples : int
        Length of the shortest mixture in samples.
    """
    if mixture.shape[-1] < min_samples:
        raise ValueError(
            f"a mixture of {mixture.shape[-1]} samples is shorter than the "
            f"{min_samples} that the network takes"
        )


def check_multiple(name, value, of, reason):
    """Raises ValueError when a size does not divide.

    Arguments
    ---------
    name : str
        Key of the YAML.
    value, of : int
        The size, and the number that it must be a multiple of.
    reason : str
        What that number is, for instance "heads".

    Example
    -------
    >>> check_multiple("D", 90, 4, "groups of the norm")
    Traceback (most recent call last):
    ...
    ValueError: D: expected a multiple of 4 (groups of the norm), found 90
    """
    if value < 1 or value % of:
        raise ValueError(
            f"{name}: expected a multiple of {of} ({reason}), found {value}"
        )
