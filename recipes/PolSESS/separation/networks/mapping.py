"""Checks of sizes and lengths.

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


def check_sizes(**sizes):
    """Raises ValueError for a size that is not a whole number from 1 on.

    Arguments
    ---------
    **sizes : int
        Sizes by the keys of the YAML.

    Example
    -------
    >>> check_sizes(B=4, H=0)
    Traceback (most recent call last):
    ...
    ValueError: H: expected a whole number from 1 on, found 0
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"{name}: expected a whole number from 1 on, found {size!r}"
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
    check_sizes(**{name: value, reason: of})
    if value % of:
        raise ValueError(
            f"{name}: expected a multiple of {of} ({reason}), found {value}"
        )
