"""Tables of the user: CSV as scripts and spreadsheets write it.

Commas, semicolons or tabs, in UTF-8, UTF-16 or the code page of Polish
Windows (Kleć, Szklanny, Wieczorkowska, 2024, publish theirs from there).
Problems are said once for each cause, with a count and examples.

Authors
 * The PolSESS recipe team 2026
"""

import collections

import paths

WORKBOOKS = (".xlsx", ".xls", ".ods")
SHOWN_PLACES = 3  # of each cause
SHOWN_CAUSES = 20


class SimulationError(ValueError):
    """A corpus cannot be made as asked; the message says what to change."""


def read_text(path):
    """Reads a text file in the encoding that it has.

    Raises SimulationError when it is missing, a folder or no text.

    Arguments
    ---------
    path : pathlib.Path
        The file.

    Returns
    -------
    text : str
        Without a byte order mark.
    """
    problem = None
    if path.is_dir():
        problem = "a folder, expected a table (CSV) of the recordings in it"
    elif not path.is_file():
        problem = "no such file"
    elif path.suffix.lower() in WORKBOOKS:
        problem = "a workbook, expected a CSV: save it as one"
    if problem:
        raise SimulationError(f"{path}: {problem}")
    try:
        return paths.read_text(path)
    except ValueError as error:
        raise SimulationError(str(error)) from None


def read_rows(path, required, optional, others_allowed=True):
    """Reads a table with a header.

    Raises SimulationError for an unreadable table, missing columns, and rows
    with more cells than the header.

    Arguments
    ---------
    path : pathlib.Path
        The CSV file.
    required : tuple of str
        Columns that it must have.
    optional : tuple of str
        Columns that it may have.
    others_allowed : bool
        Whether it may have more columns, which are ignored.

    Returns
    -------
    rows : list of tuple
        Line number, and a dict with a stripped text for each column.
    """
    read_text(path)  # says what is wrong with it
    columns = (*required, *optional)
    try:
        lines = paths.read_cells(path, columns)
    except ValueError as error:
        raise SimulationError(str(error)) from None
    names = lines.pop(0)[1] if lines else []
    missing = ", ".join(name for name in required if name not in names)
    more = [name for name in names if name not in columns]
    problems = []
    if missing:
        found = ", ".join(names) or "no header"
        problems.append((f"missing column(s) {missing}", f"found {found}"))
    elif more and not others_allowed:
        place = f"expected some of {', '.join(columns)}"
        problems.append((f"unknown column(s) {', '.join(more)}", place))
    elif not lines:
        problems.append(("it has a header, but no rows", "expected rows"))
    n = len(names)
    cause = "more cells than columns; put texts with separators into quotes"
    problems += [
        (cause, f"line {line}: expected {n} cells, found {len(cells)}")
        for line, cells in lines
        if len(cells) > n and not problems
    ]
    raise_problems(path, problems)
    return [
        (line, {**dict.fromkeys(columns, ""), **dict(zip(names, cells))})
        for line, cells in lines
    ]


def list_causes(problems):
    """Says each cause once.

    Arguments
    ---------
    problems : list of tuple of str
        Cause, and a place where it was found.

    Returns
    -------
    lines : list of str
        Causes with their count and the first places.

    Example
    -------
    >>> list_causes([("silent", "a.wav"), ("short", "b.wav")])
    ['  silent: a.wav', '  short: b.wav']
    >>> list_causes([("silent", f"{n}.wav") for n in range(9)])[0]
    '  silent: 9 times, such as'
    """
    by_cause = collections.defaultdict(list)
    for cause, place in problems:
        by_cause[cause].append(place)
    lines = []
    for cause, places in list(by_cause.items())[:SHOWN_CAUSES]:
        if len(places) == 1:
            lines.append(f"  {cause}: {places[0]}")
            continue
        lines.append(f"  {cause}: {len(places)} times, such as")
        lines += [f"    {place}" for place in places[:SHOWN_PLACES]]
    if len(by_cause) > SHOWN_CAUSES:
        lines.append(f"  ... and {len(by_cause) - SHOWN_CAUSES} more causes")
    return lines


def raise_problems(table, problems):
    """Raises SimulationError if there are problems.

    Arguments
    ---------
    table : pathlib.Path
        The table that has them.
    problems : list of tuple of str
        Cause and place.
    """
    if problems:
        first = f"{table}: {len(problems)} problem(s)"
        raise SimulationError("\n".join([first, *list_causes(problems)]))


def compare_tables(then, now):
    """Says how the rows of a table changed.

    Arguments
    ---------
    then : pathlib.Path
        Copy of the old table.
    now : pathlib.Path
        The table.

    Returns
    -------
    change : str
        Number of rows that are missing and new, with the first of each.
    """
    old, new = (read_text(path).splitlines() for path in (then, now))
    parts = []
    for kind, some, others in (("missing", old, new), ("new", new, old)):
        rest = set(others)
        rows = [row for row in some if row not in rest]
        if rows:
            parts.append(f"{len(rows)} row(s) {kind}, such as {rows[0]!r}")
    return "; ".join(parts) or "the same rows in another order or encoding"
