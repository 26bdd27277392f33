"""Simulation of PolSESS corpora: sources, metadata, rendering.

Start it with `python -m simulate.make_corpus` from recipes/PolSESS, or with
`python recipes/PolSESS/simulate/make_corpus.py` from anywhere.

Authors
 * The PolSESS recipe team 2026
"""
