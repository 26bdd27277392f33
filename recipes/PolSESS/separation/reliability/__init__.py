"""Trainings that survive kills, signals, full disks, damaged files and NaN.

Authors
 * The PolSESS recipe team 2026
"""
