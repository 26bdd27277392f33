"""Checkpoints that are complete or absent, their weights and RNG states."""
