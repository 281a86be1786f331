"""The registry: Django, DRF and PostgreSQL.  It imports no framework and never unpickles."""
