#!/usr/bin/env python3
"""Tables, page and comparison of tested runs, from their folders alone.

train.py writes the report at the end of a test. To write all of it again:
> python report.py page RUN

To write the tables alone, with other strata or for a paper:
> python report.py tables RUN --strata decay scene_class --latex

To compare runs that were tested on the same mixtures, each with the first:
> python report.py compare RUN_A RUN_B --output comparison.csv

A RUN is the output folder of a training or of a test.

Authors
 * The PolSESS recipe team 2026
"""

import sys

from reporting.report import main

if __name__ == "__main__":
    sys.exit(main(description=__doc__.split("\n")[0]))
