"""Bills of materials of versions, in the formats of others."""
