"""A small read-only reader of HDF5: what files of Keras need, with bounds, and nothing else."""
