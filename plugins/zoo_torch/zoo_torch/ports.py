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
INIT = Port(
    name="init",
    formats=WEIGHTS,
    role=LineageRole.INITIALISED_FROM,
    required=False,
    description="Weights to start from; its classifier is made anew where the number of classes differs.",
)
