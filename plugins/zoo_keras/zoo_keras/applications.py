"""The architectures of ``keras.applications`` for files that hold weights only."""

import inspect

import keras

from zoo_keras.specs import Architecture
from zoo_sdk.errors import InvalidInput


def application(architecture: Architecture) -> keras.Model:
    """The network with weights as they were initialised; nothing is downloaded.

    Raises:
        InvalidInput: Keras refuses the settings, or the network does not have one of them (``alpha``).

    """
    make = getattr(keras.applications, architecture.name)
    known = inspect.signature(make).parameters
    given = architecture.model_dump(exclude={"name"}, exclude_none=True)
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise InvalidInput(f"{architecture.name} has no {', '.join(unknown)}.", facts={"field": "architecture"})
    try:
        return make(weights=None, **given)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"Keras cannot make {architecture.name}: {error}", facts={"field": "architecture"}
        ) from error
