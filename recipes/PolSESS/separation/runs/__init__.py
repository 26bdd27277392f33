"""A run: its folder, ranks, settings and the record of its starts."""

import getpass
import os
import tempfile

# A user of a container may have neither home nor name: matplotlib and torch would
# stop, for their caches.
if os.path.expanduser("~") == "~":
    os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())
try:
    getpass.getuser()
except (KeyError, OSError):
    os.environ["LOGNAME"] = str(os.getuid())
