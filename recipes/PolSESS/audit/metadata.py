"""Checks the metadata beyond the cells that a training needs.

Authors
 * The PolSESS recipe team 2026
"""

from prepare_polsess import FILES, REVERB_PARAMETERS, REVERBS

# In the CSVs of every release, though nothing in the recipe reads them. Older
# releases lack sceneRandomDB, sceneOffsetDB and sceneVolumeGain.
SEGMENTS = (
    "speech1Start speech1End speech2Start speech2End sceneStart sceneEnd "
    "eventStart eventEnd"
).split()


def check_cells(cells):
    """Finds missing columns and partly filled reverberation.

    Arguments
    ---------
    cells : dict
        Column of the metadata -> text; empty cells are empty strings.

    Yields
    ------
    defect : tuple of str
        Check, file (none), expected, found.

    Example
    -------
    >>> cells = dict.fromkeys(SEGMENTS + REVERB_PARAMETERS, "")
    >>> cells.update((FILES[column][0], "") for column in REVERBS)
    >>> list(check_cells(cells))
    []
    >>> list(check_cells({**cells, "decay": "0.5"}))[0][3]
    '0 of 3 files, 1 of 7 parameters'
    """
    for column in SEGMENTS:
        if column not in cells:
            yield "missing column", "", f"a column {column}", "none"
    n_files = sum(cells[FILES[column][0]] != "" for column in REVERBS)
    n_parameters = sum(cells[column] != "" for column in REVERB_PARAMETERS)
    n_all = len(REVERBS) + len(REVERB_PARAMETERS)
    if 0 < n_files + n_parameters < n_all:
        expected = "all files and parameters of the reverberation, or none"
        found = f"{n_files} of 3 files, {n_parameters} of 7 parameters"
        yield "partly filled", "", expected, found
