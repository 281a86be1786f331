"""Whom to believe about a pulled folder, and whether what they signed fits it."""
