"""Versions on their way between registries: what is told of one that leaves, and taking in those that arrive."""
