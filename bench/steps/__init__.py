"""How fast is a training step?  Ours, as the operations run it, against plain loops and other libraries.

``python -m bench.steps`` measures ratios: the contenders of a race take turns in one run, with the same networks,
pictures, batch and threads.
"""
