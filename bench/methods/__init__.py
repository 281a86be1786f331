"""One table per compression method: several seeds, the student or base alone beside it at the same budget.

``python -m bench.methods`` fills what is missing and renders the tables.  Every finished run is kept at once as a line
of ``results/methods/TABLE.jsonl``, so the tables can be filled over several sessions.
"""
