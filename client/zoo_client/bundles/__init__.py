"""Bundles on this side: writing one from a registry, checking one without any, bringing one into another registry."""
