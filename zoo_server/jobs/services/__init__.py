"""Every write of the jobs app; one module per concern, each importable without the others' dependants."""
