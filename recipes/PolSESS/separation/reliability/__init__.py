"""What a training survives: kills, signals, full disks, damaged files, NaN.

Authors
 * The PolSESS recipe team 2026
"""
