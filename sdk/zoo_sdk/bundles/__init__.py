"""Bundles: versions with everything that belongs to them in one OCI image layout, to be carried between registries."""
