"""The error that a user of the simulation can do something about.

Authors
 * The PolSESS recipe team 2026
"""


class CorpusError(ValueError):
    """A corpus cannot be made as asked; the message says what to change."""
