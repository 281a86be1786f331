"""Recipes for the tests, made from a small correct one by replacing pieces of its text."""

from tests.zoo_server.jobs import manifests
from zoo_sdk.operations import OperationManifest

MANIFESTS: dict[str, OperationManifest] = {item.name: item for item in manifests.ALL}
DISTIL = """\
zoo_recipe: 1
name: distil
summary: Distil a small network from a larger one.
inputs:
  data: {kind: dataset}
  teacher: {kind: model, required: false}
values:
  epochs: 3
  heat: 4.0
sets:
  small:
    values: {epochs: 1}
    axes: {seed: [0, 1]}
axes:
  seed: [0]
steps:
  base:
    operation: toy.train
    inputs:
      data: ${inputs.data}
    params: {epochs: "${values.epochs}"}
  teacher:
    operation: toy.train
    inputs:
      data: ${inputs.data}
  student:
    operation: toy.distill
    for_each: [seed]
    seed: ${axes.seed}
    inputs:
      student: ${steps.base}
      teacher:
        - from: {first_of: ["${inputs.teacher}", "${steps.teacher}"]}
          weight: 0.5
      data: ${inputs.data}
    params:
      temperature: ${values.heat}
    gates:
      - {metric: top1, at_most_below: 0.5, than: "${steps.base}"}
  check:
    operation: toy.evaluate
    for_each: [seed]
    inputs:
      model: ${steps.student}
      data: ${inputs.data}
outputs:
  student: {from: "${steps.student}", model: distilled}
"""


def changed(*replacements: tuple[str, str], text: str = DISTIL) -> str:
    """``text`` with each ``(old, new)`` replaced once."""
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def line_of(text: str, piece: str) -> int:
    """The line, from 1, on which ``piece`` first begins."""
    return text[: text.index(piece)].count("\n") + 1
