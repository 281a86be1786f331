"""Retention policies: which versions of a team go, and why each other one stays."""
