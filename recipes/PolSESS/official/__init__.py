"""The official corpus from one's own copies of its public sources.

Authors
 * The PolSESS recipe team 2026
"""
