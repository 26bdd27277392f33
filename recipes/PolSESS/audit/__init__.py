"""The full audit of PolSESS: all samples of all mixtures, links, leaks by row.

``python prepare_polsess.py --audit full`` runs it; a training never does.
"""
