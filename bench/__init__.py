"""Measurements side by side: Zoo against a baseline, both measured in the same run, one module per question.

``python -m bench.run`` runs all of them and prints one table; ``python -m bench.run transfer jobs`` some;
``python -m bench.transfer --help`` shows the options of one.  Results land in ``bench/results/NAME.json`` and ``.md``.
"""
