"""Loads a model input into Keras: its network is checked and rebuilt, its weights are read by Keras."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from zoo_keras.applications import application
from zoo_keras.files import KerasFile, open_file, read_json
from zoo_keras.networks.building import build
from zoo_keras.networks.network import Network
from zoo_keras.networks.reading import read_network
from zoo_keras.specs import Architecture
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput


@dataclass(frozen=True)
class Loaded:
    """A model in Keras with its network; ``version`` is of the Keras that wrote the file."""

    model: keras.Model
    network: Network
    version: str


def load(item: InputItem, scratch: Path, architecture: Architecture | None = None) -> Loaded:
    """Load a model input.

    Args:
        item: an artifact of the format keras-h5 or keras; a file with weights only may bring its configuration as a
            second file, ``.json``.
        scratch: a folder for links and copies.
        architecture: the network for a file with weights only.

    Raises:
        InvalidInput: a file that is damaged, dangerous, or holds a layer that is not allowed; weights without an
            architecture, or that do not fit it.

    """
    artifact = item.artifact
    if artifact is None or artifact.format not in {"keras-h5", "keras"}:
        raise InvalidInput(f"{item.reference} is {artifact.format if artifact else 'no model'}, not keras-h5 or keras.")
    file = open_file(item.main_file, scratch)
    if file.config is not None and architecture is not None:
        raise InvalidInput(
            f"{item.main_file.name!r} holds its own architecture.",
            hint="Leave `architecture` out.",
            facts={"field": "architecture"},
        )
    described = [item.folder / path for path in artifact.files[1:] if path.endswith(".json")]
    config = file.config if file.config is not None else read_json(described[0]) if described else None
    if config is None:
        config = _config_of(architecture, item)
    major = 3 if file.config is None and not described else file.major
    network = read_network(config, keras_major=major)
    model = build(network)
    _read_weights(model, file, item)
    return Loaded(model, network, file.version)


def _config_of(architecture: Architecture | None, item: InputItem) -> Any:
    if architecture is None:
        raise InvalidInput(
            f"{item.main_file.name!r} holds weights only.",
            hint="Name its `architecture`, or push the configuration (model.to_json()) as the artifact's second file.",
            facts={"field": "architecture"},
        )
    return json.loads(application(architecture).to_json())


def _read_weights(model: keras.Model, file: KerasFile, item: InputItem) -> None:
    weighted = {layer.name for layer in model.layers if layer.weights}
    by_name = file.names is not None and set(file.names) == weighted
    if file.names is not None and len(file.names) != len(weighted):
        raise InvalidInput(
            f"{item.main_file.name!r} holds weights for {len(file.names)} layers; the network has {len(weighted)} "
            "with weights.",
            hint="Name the architecture whose weights these are.",
        )
    try:
        # By name where the names agree; else in the order of the layers, as Keras does it.
        model.load_weights(str(file.weights), **({"by_name": True} if by_name else {}))
    except (ValueError, KeyError, TypeError, OSError, IndexError, NotImplementedError) as error:
        raise InvalidInput(
            f"Keras {keras.__version__} cannot read the weights of {item.main_file.name!r}: {str(error)[:1000]}",
            hint="Check that the file is whole and that the architecture is the one it was saved from.",
        ) from error
