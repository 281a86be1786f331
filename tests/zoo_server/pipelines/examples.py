"""Recipes that the tests of pipelines run, from operations that the tests' worker offers."""

HEAD = """\
zoo_recipe: 1
name: made
inputs:
  data: {kind: dataset}
"""

CHAIN = (
    HEAD
    + """\
steps:
  base:
    operation: toy.train
    inputs:
      data: ${inputs.data}
  other:
    operation: toy.train
    seed: 1
    inputs:
      data: ${inputs.data}
  student:
    operation: toy.distill
    inputs:
      student: ${steps.base}
      teacher:
        - {from: "${steps.base}", weight: 2}
      data: ${inputs.data}
  check:
    operation: toy.evaluate
    inputs:
      model: ${steps.student}
      data: ${inputs.data}
outputs:
  student: {from: "${steps.student}", model: distilled}
"""
)
"""base -> student -> check, and other beside them."""

GATED = (
    HEAD
    + """\
steps:
  base:
    operation: toy.train
    inputs:
      data: ${inputs.data}
    gates:
      - {metric: top1, at_least: 90}
  after:
    operation: toy.train
    inputs:
      data: ${inputs.data}
      init: ${steps.base}
  free:
    operation: toy.train
    seed: 1
    inputs:
      data: ${inputs.data}
"""
)
"""after takes base, which has to reach 90 %."""

BRANCHED = (
    HEAD
    + """\
steps:
  quick:
    operation: toy.train
    inputs:
      data: ${inputs.data}
    gates:
      - {metric: top1, at_least: 90, otherwise: {run: [repair]}}
  repair:
    operation: toy.train
    params: {epochs: 50}
    inputs:
      data: ${inputs.data}
      init: ${steps.quick}
  only_quick:
    operation: toy.evaluate
    inputs:
      model: ${steps.quick}
      data: ${inputs.data}
  last:
    operation: toy.train
    seed: 5
    inputs:
      data: ${inputs.data}
      init: {from: {first_of: ["${steps.repair}", "${steps.quick}"]}}
outputs:
  best: {from: {first_of: ["${steps.repair}", "${steps.quick}"]}, model: best, alias: chosen}
"""
)
"""repair runs, and is taken instead of quick, if quick does not reach 90 %."""

COMPARED = (
    HEAD
    + """\
steps:
  base:
    operation: toy.train
    inputs:
      data: ${inputs.data}
  small:
    operation: toy.train
    seed: 1
    inputs:
      data: ${inputs.data}
    gates:
      - {metric: top1, at_most_below: 0.5, than: "${steps.base}"}
  after:
    operation: toy.train
    seed: 2
    inputs:
      data: ${inputs.data}
      init: ${steps.small}
"""
)
"""small may fall at most half a point below base; both run at the same time."""

SEEDS = (
    HEAD
    + """\
axes:
  seed: [0, 1, 2]
steps:
  train:
    operation: toy.train
    for_each: [seed]
    seed: ${axes.seed}
    inputs:
      data: ${inputs.data}
  ensemble:
    operation: toy.distill
    inputs:
      student: ${inputs.student}
      teacher: ${steps.train}
      data: ${inputs.data}
"""
).replace("  data: {kind: dataset}\n", "  data: {kind: dataset}\n  student: {kind: model}\n", 1)
"""Three seeds, all of them teachers of one student."""

MEASURED = (
    HEAD
    + """\
steps:
  base:
    operation: toy.train
    inputs:
      data: ${inputs.data}
  speed:
    operation: toy.evaluate
    inputs:
      model: ${steps.base}
      data: ${inputs.data}
  check:
    operation: toy.evaluate
    seed: 1
    needs: [speed]
    inputs:
      model: ${steps.base}
      data: ${inputs.data}
    gates:
      - {metric: latency_ms, at_most: 5}
      - {metric: top1, at_least: 80}
  after:
    operation: toy.train
    seed: 2
    inputs:
      data: ${inputs.data}
      init: ${steps.check}
"""
)
"""after takes what check measured, once it is fast (which speed measured) and good enough."""
