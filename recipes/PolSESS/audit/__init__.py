"""Checks a PolSESS corpus; the parts of prepare_polsess.py.

Authors
 * The PolSESS recipe team 2026
"""
