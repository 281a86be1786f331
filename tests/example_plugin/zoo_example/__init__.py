"""A plugin as a third party would write one: nearest-centroid classifiers, and an operation that fails on request."""
