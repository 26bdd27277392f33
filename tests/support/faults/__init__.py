"""Faults in runs of train.py, and the server that starts runs as forks."""
