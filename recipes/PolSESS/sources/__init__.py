"""From folders of recordings, public corpora or own ones, to a sources table.

Run `python sources/make_sources.py --help` in recipes/PolSESS.
"""
