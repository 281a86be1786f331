"""The contract of Zoo: what the registry, the workers, the clients and the plugins agree on.

Only the standard library and pydantic are imported here, so that every room may import it at no cost.

- :mod:`zoo_sdk.operations`  what a plugin can do: parameters, ports, resources
- :mod:`zoo_sdk.context`     what an operation gets while it runs
- :mod:`zoo_sdk.artifacts`   what a file is: format, precision, signature, preprocessing
- :mod:`zoo_sdk.messages`    what a worker and the registry say to each other
- :mod:`zoo_sdk.vocabulary`  the closed sets of words (states, roles, scopes, causes)
- :mod:`zoo_sdk.measures`    the registry of metric names with unit and direction
- :mod:`zoo_sdk.names`       names and references such as ``vision/resnet50@3``
- :mod:`zoo_sdk.errors`      the one tree of errors
- :mod:`zoo_sdk.discovery`   operations found through entry points
- :mod:`zoo_sdk.environment` the ``ZOO_*`` variables
- :mod:`zoo_sdk.conformance` the tests that every plugin passes
"""

__version__ = "0.1.0"
