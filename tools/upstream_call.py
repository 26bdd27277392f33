"""Runs functions of SpeechBrain's own tests, and tells what each complained of.

It reads a JSON list of calls, [name, "module:function", keywords], from the
standard input, and writes one JSON line for each: [name, list of complaints].

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import importlib
import io
import json
import logging
import os
import re
import sys
import traceback


def complaints_of(target, keywords):
    """Calls a function; returns what it complained of.

    Arguments
    ---------
    target : str
        module:function.
    keywords : dict
        Of the call.

    Returns
    -------
    list of str
        Lines with ERROR, or the exception, or that it returned False.
    """
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    failure = None
    try:
        with contextlib.redirect_stdout(shown):
            module, function = target.split(":")
            result = getattr(importlib.import_module(module), function)(
                **keywords
            )
        if result is False:
            failure = f"{target} returned False"
    except AssertionError as error:
        failure = f"assertion {error}".strip()
    except Exception:
        failure = traceback.format_exc().strip().splitlines()[-1]
    finally:
        logging.getLogger().removeHandler(handler)
    if failure is None:
        return []
    lines = re.findall(r"^\s*(ERROR.*)$", shown.getvalue(), re.M)
    return [" ".join(line.split()) for line in lines] or [failure]


def main():
    """Makes the calls, each from the folder in which this was started."""
    import speechbrain

    # As with `python -c`, on which upstream's tests rely: a module is looked
    # for in the current folder. After the import, so this is not changed by it.
    sys.path.insert(0, "")
    home = os.getcwd()
    out = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps(["speechbrain", speechbrain.__file__]), file=out)
    for name, target, keywords in json.load(sys.stdin):
        os.chdir(home)
        found = complaints_of(target, keywords)
        print(json.dumps([name, found]), file=out, flush=True)


if __name__ == "__main__":
    main()
