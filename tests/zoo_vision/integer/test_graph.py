"""A graph that cannot be computed, or only with unbounded memory, is refused before anything is."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from zoo_vision.integer.graph import Graph

RELU = {"op": "activation", "function": "relu"}
CONVOLUTION = {"op": "convolution", "name": "a", "outputs": 4, "inputs_per_group": 3, "kernel": [3, 3]}


def parse(*nodes: dict[str, Any], shape: tuple[int, ...] = (3, 8, 8)) -> Graph:
    return Graph.model_validate_json(json.dumps({"input_shape": shape, "nodes": nodes}))


def test_shapes_follow_the_nodes() -> None:
    graph = parse(
        {**CONVOLUTION, "input": 0, "stride": [2, 1], "padding": [1, 1], "dilation": [2, 1]},
        {"op": "pooling", "function": "max", "input": 1, "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]},
        {"op": "global_pooling", "function": "mean", "input": 2, "flat": False},
        {"op": "combination", "function": "multiply", "inputs": [3, 2]},
        {"op": "concatenation", "inputs": [2, 4]},
        {"op": "flatten", "input": 5},
    )
    assert graph.shapes() == ((3, 8, 8), (4, 3, 8), (4, 2, 4), (4, 1, 1), (4, 2, 4), (8, 2, 4), (64,))
    assert Graph.model_validate_json(graph.model_dump_json()) == graph


@pytest.mark.parametrize(
    ("nodes", "fault"),
    [
        ([{**RELU, "input": 1}], "made later"),
        ([{**RELU, "input": 2}, {**RELU, "input": 0}], "made later"),
        ([{**RELU, "input": 0}, {**RELU, "input": 0}], "makes what nothing reads"),
        ([{**RELU, "input": -1}], "greater than or equal"),
        ([{**RELU, "input": 0, "function": "exec"}], "Input should be"),
        ([{"op": "import_module", "input": 0}], "does not match any of the expected tags"),
        ([{**RELU, "input": 0, "code": "print(1)"}], "Extra inputs are not permitted"),
        ([{**CONVOLUTION, "input": 0, "inputs_per_group": 2}], "3 channels enter 1 groups of 2"),
        ([{**CONVOLUTION, "input": 0, "groups": 3, "inputs_per_group": 1}], "3 channels enter 3 groups"),
        ([{**CONVOLUTION, "input": 0, "kernel": [9, 1]}], "do not fit the shape"),
        ([{**CONVOLUTION, "input": 0, "kernel": [0, 1]}], "greater than or equal to 1"),
        ([{**CONVOLUTION, "input": 0, "stride": [0, 1]}], "greater than or equal to 1"),
        ([{**CONVOLUTION, "input": 0, "padding": [4000, 4000], "kernel": [4000, 4000]}], "numbers for one sample"),
        ([{**CONVOLUTION, "input": 0, "padding": [1000, 1000], "outputs": 2**20}], "held for one sample"),
        ([{"op": "linear", "name": "a", "input": 0, "outputs": 2, "inputs": 3}], "enters 3 inputs"),
        ([{"op": "affine", "name": "a", "input": 0, "channels": 2}], "3 channels enter an affine of 2"),
        ([{**CONVOLUTION, "input": 0}, {"op": "combination", "function": "add", "inputs": [0, 1]}], "do not fit"),
        ([{"op": "flatten", "input": 0}, {"op": "concatenation", "inputs": [0, 1]}], "do not fit"),
        ([], "at least 1 item"),
    ],
)
def test_a_graph_that_does_not_fit_together_is_refused(nodes: list[dict[str, Any]], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        parse(*nodes)


def test_a_value_that_doubles_with_each_node_is_refused_before_memory_is_taken() -> None:
    nodes = [{"op": "concatenation", "inputs": [k, k]} for k in range(40)]
    with pytest.raises(ValidationError, match="held for one sample"):
        parse(*nodes)


def test_many_values_that_are_held_at_one_time_are_refused() -> None:
    nodes: list[dict[str, Any]] = [{**RELU, "input": 0} for _ in range(500)]
    nodes.append({"op": "concatenation", "inputs": [1 + k for k in range(500)]})
    with pytest.raises(ValidationError, match="held for one sample"):
        parse(*nodes, shape=(3, 512, 512))


def test_two_layers_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="the same name"):
        parse({**CONVOLUTION, "input": 0}, {**CONVOLUTION, "input": 1, "inputs_per_group": 4})


@pytest.mark.parametrize("step", [0, -1, "nan", 1e999])
def test_a_step_that_is_not_positive_is_refused(step: Any) -> None:
    integers = {"weight_bits": 4, "input_bits": 4, "input_signed": True, "input_step": step}
    with pytest.raises(ValidationError):
        parse({**CONVOLUTION, "input": 0, "integers": integers})


@pytest.mark.parametrize("bits", [1, 9])
def test_bits_outside_two_to_eight_are_refused(bits: int) -> None:
    integers = {"weight_bits": bits, "input_bits": 4, "input_signed": True, "input_step": 1}
    with pytest.raises(ValidationError, match="weight_bits"):
        parse({**CONVOLUTION, "input": 0, "integers": integers})
