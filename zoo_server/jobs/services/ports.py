"""What the ports' lineage roles mean for the version that a job makes."""

from zoo_sdk.vocabulary import LineageRole

BASE_ROLES = (LineageRole.BASE, LineageRole.CONVERTED_FROM, LineageRole.INITIALISED_FROM)
"""The first input with one of these is the base: its strategy is continued, and its model is the default output."""
