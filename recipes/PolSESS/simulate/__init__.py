"""Simulate corpora in the layout of PolSESS: sources, metadata, rendering.

Run `python simulate/make_corpus.py --help` in recipes/PolSESS.
"""
