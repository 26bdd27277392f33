"""Faults of runs, their server, and runs as several processes.

Authors
 * The PolSESS recipe team 2026
"""
