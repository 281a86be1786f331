"""How parameters name a network, without importing any framework."""

from typing import Annotated

from pydantic import Field

ArchitectureName = Annotated[
    str, Field(pattern=r"^(zoo|timm):[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,60})?$", max_length=170)
]
"""``zoo:NAME`` for one of our small networks, ``timm:NAME`` for any architecture of timm (``timm:resnet18``)."""

OptionValue = bool | int | float | Annotated[str, Field(max_length=40)]

ARCHITECTURE_DESCRIPTION = (
    "The network: zoo:conv_tiny, zoo:conv_small, zoo:conv_medium, zoo:resnet_small or zoo:resnet_medium for small "
    "images, or timm:NAME for any architecture of timm, such as timm:resnet18."
)
