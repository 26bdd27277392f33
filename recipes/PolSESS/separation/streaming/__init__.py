"""Separates live audio with a causal Conv-TasNet."""
