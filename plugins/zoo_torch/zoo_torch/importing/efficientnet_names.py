"""The names that the package efficientnet-pytorch, and those that follow it, give to what timm calls otherwise.

They number the blocks through where timm numbers them by stage, and the normalisations in another way in blocks that do
not expand.
"""

import re
from collections.abc import Iterable, Mapping

FIRST = "_blocks.0._depthwise_conv.weight"
"""Every such checkpoint has it, and no other does."""
_THEIR_BLOCK = re.compile(r"_blocks\.(\d+)\.(.+)")
_TIMMS_BLOCK = re.compile(r"blocks\.\d+\.\d+\.")
_ENDS: Mapping[str, str] = {
    "_conv_stem.": "conv_stem.", "_bn0.": "bn1.", "_conv_head.": "conv_head.", "_bn1.": "bn2.", "_fc.": "classifier.",
}  # fmt: skip
_EXPANDING: Mapping[str, str] = {
    "_expand_conv.": "conv_pw.", "_bn0.": "bn1.", "_depthwise_conv.": "conv_dw.", "_bn1.": "bn2.",
    "_se_reduce.": "se.conv_reduce.", "_se_expand.": "se.conv_expand.", "_project_conv.": "conv_pwl.", "_bn2.": "bn3.",
}  # fmt: skip
_PLAIN: Mapping[str, str] = {**_EXPANDING, "_bn1.": "bn1.", "_project_conv.": "conv_pw.", "_bn2.": "bn2."}


def timm_names(names: Iterable[str], expected: Iterable[str]) -> dict[str, str]:
    """Name in such a checkpoint -> timm's, for those that are known; empty for a checkpoint of another kind.

    ``names``: of the checkpoint; ``expected``: of timm's network, in its order.
    """
    given = list(names)
    if FIRST not in given:
        return {}
    blocks = list(dict.fromkeys(found[0] for name in expected if (found := _TIMMS_BLOCK.match(name))))
    expanding = {found[1] for name in given if (found := _THEIR_BLOCK.match(name)) and "_expand_conv." in name}
    changed: dict[str, str] = {}
    for name in given:
        inside = _THEIR_BLOCK.match(name)
        if inside is None:
            new = _renamed(name, _ENDS)
        elif int(inside[1]) < len(blocks):
            new = _renamed(inside[2], _EXPANDING if inside[1] in expanding else _PLAIN, blocks[int(inside[1])])
        else:
            new = None
        if new is not None:
            changed[name] = new
    return changed


def _renamed(rest: str, table: Mapping[str, str], beginning: str = "") -> str | None:
    """The name with its beginning changed by the table; None: it is not in there."""
    old = next((old for old in table if rest.startswith(old)), None)
    return None if old is None else beginning + table[old] + rest.removeprefix(old)
