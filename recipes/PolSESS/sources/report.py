"""Report of what was taken from each source, what was left out, and why.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import csv

from simulate.acoustics import SUBSETS

COLUMNS = (
    "role source state subset_or_reason files recordings hours speakers "
    "examples".split()
)
SHOWN_EXAMPLES = 3
SHOWN_LABELS = 20


class Report:
    """Counts of the files of each source.

    Arguments
    ---------
    classes : labels.Classes
        Knows the nearest name of an unknown label.
    """

    def __init__(self, classes):
        self.classes = classes
        self.left_out = collections.defaultdict(list)
        self.labels = collections.Counter()
        self.taken = []
        self.notes = []
        self.warnings = []

    def leave_out(self, role, source, reason, files):
        """Notes files that are left out.

        Arguments
        ---------
        role, source, reason : str
            Whose files, and why.
        files : list of tuple
            Path and duration in seconds (0 if unknown).
        """
        self.left_out[role, source, reason] += files

    def rows(self):
        """The report as rows of COLUMNS, one for each subset or reason.

        Returns
        -------
        rows : list of dict
            A file of which each subset has a stretch counts in the first, so
            that the files of one source add up to those that were found.
        """
        cells, seen = collections.defaultdict(list), set()
        for recording in self.taken:
            key = recording.role, recording.source, recording.subset
            cells[key].append(recording)
        rows = []
        for role, source, subset in sorted(
            cells, key=lambda k: (k[:2], SUBSETS.index(k[2]))
        ):
            members = cells[role, source, subset]
            paths = {path for r in members for path, *_ in r.pieces}
            files = {(role, source, path) for path in paths} - seen
            seen |= files
            seconds = sum(recording.seconds for recording in members)
            values = [role, source, "taken", subset, len(files), len(members)]
            values += [f"{seconds / 3600:.2f}"]
            values += [
                len({r.name for r in members}) if role == "speech" else "",
                "; ".join(str(r.path) for r in members[:SHOWN_EXAMPLES]),
            ]
            rows.append(dict(zip(COLUMNS, values)))
        for (role, source, reason), files in sorted(self.left_out.items()):
            seconds = sum(seconds for _, seconds in files)
            examples = "; ".join(str(p) for p, _ in files[:SHOWN_EXAMPLES])
            values = [role, source, "left out", reason, len(files), 0]
            values += [f"{seconds / 3600:.2f}", "", examples]
            rows.append(dict(zip(COLUMNS, values)))
        return rows

    def write(self, path):
        """Writes the report as CSV.

        Arguments
        ---------
        path : pathlib.Path
            File to write.
        """
        with open(path, "w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows())

    def text(self):
        """The report for the screen.

        Returns
        -------
        text : str
            What was taken, what was left out with examples, unknown labels.
        """
        lines = []
        for row in self.rows():
            who = f"{row['role']} {row['source']}"
            line = f"{who}: {row['state']} {row['subset_or_reason']}: "
            line += f"{row['files']} files"
            if row["state"] == "taken":
                line += f" ({row['recordings']} recordings)"
            line += f", {row['hours']} h"
            if row["speakers"] != "":
                line += f", {row['speakers']} speakers"
            if row["state"] == "left out":
                line += f", such as {row['examples']}"
            lines.append(line)
        return "\n".join(
            lines + self._label_lines() + self.notes + self.warnings
        )

    def _label_lines(self):
        """Unknown labels, the most frequent first, each with the nearest."""
        lines = []
        for (role, label), count in self.labels.most_common(SHOWN_LABELS):
            nearest = self.classes.nearest(role, label)
            near = f"; the nearest class is {nearest}" if nearest else ""
            lines.append(f"  {role} {label!r}: {count} files{near}")
        if not lines:
            return []
        if len(self.labels) > SHOWN_LABELS:
            lines.append(f"  and {len(self.labels) - SHOWN_LABELS} more")
        return [
            "Unknown labels (rename the folder, or add a class with "
            "--class_map):",
            *lines,
        ]
