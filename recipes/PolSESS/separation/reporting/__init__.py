"""Reports of a test: tables, a page with plots and sound, comparisons.

Everything is read from the folder of a run; the training is never called.
"""

import runs  # noqa: F401, before matplotlib
