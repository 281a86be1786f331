"""Input ports that several operations share."""

from zoo_sdk.operations import Port
from zoo_sdk.vocabulary import LineageRole, RepositoryKind

WEIGHTS = ("safetensors", "pickle")
TRAINING_DATA = Port(
    name="data",
    kind=RepositoryKind.DATASET,
    role=LineageRole.TRAINED_ON,
    description="Labelled images with a training and a test split.",
)
