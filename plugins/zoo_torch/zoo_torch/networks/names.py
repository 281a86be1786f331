"""How parameters name a network, without importing any framework."""

from typing import Annotated

from pydantic import Field

ArchitectureName = Annotated[
    str, Field(pattern=r"^(zoo|timm):[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,60})?$", max_length=170)
]
"""``zoo:NAME`` for one of our small networks, ``timm:NAME`` for any architecture of timm (``timm:resnet18``)."""

OptionValue = bool | int | float | Annotated[str, Field(max_length=40)]

ARCHITECTURE_DESCRIPTION = (
    "The network, for small images: zoo:conv_tiny, conv_small, conv_medium, resnet_small, resnet_medium, "
    "resnet_tiny_18, _34, _50, _101, mobilenet_v1_small, mobilenet_v2_small, vit_tiny or vit_small (each after zoo:); "
    "or timm:NAME for any architecture of timm, such as timm:resnet18."
)
