"""Catalogues: descriptions of existing zoos, read from YAML and made into versions of remote files."""
