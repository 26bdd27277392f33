"""A run: its folder, ranks, settings and the record of its starts."""
