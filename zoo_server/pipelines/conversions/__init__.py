"""Conversions: the graph of formats, the cheapest way through it, and the recipe that goes that way."""
