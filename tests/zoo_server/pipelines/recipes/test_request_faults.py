"""What a request for a recipe gives wrongly is told by its key, and by no line: it is not in the text."""

import pytest

from tests.zoo_server.pipelines.recipes.texts import DISTIL, MANIFESTS
from zoo_server.pipelines.recipes.checking import check_recipe
from zoo_server.pipelines.recipes.faults import InvalidRecipe
from zoo_server.pipelines.recipes.settings import Overrides


@pytest.mark.parametrize(
    ("overrides", "key", "message"),
    [
        (Overrides("smol"), "request.set", "no set 'smol'"),
        (Overrides(values={"epoch": 1}), "request.values.epoch", "not one of the recipe's values"),
        (Overrides(values={"epochs": 0}), "request.values.epochs", "0 is not a whole number"),
        (Overrides(values={"heat": "${values.epochs}"}), "request.values.heat", "cannot hold references"),
        (Overrides(values={"heat": float("inf")}), "request.values.heat", "not finite"),
        (Overrides(axes={"sed": [1]}), "request.axes.sed", "not one of the recipe's axes"),
        (Overrides(axes={"seed": []}), "request.axes.seed", "an axis has 1 to"),
        (Overrides(axes={"seed": [1, 1]}), "request.axes.seed", "twice"),
        (Overrides(axes={"seed": ["x"]}), "request.axes.seed.0", "'x' is not a whole number"),
    ],
)
def test_what_the_request_gives_wrongly_has_a_key_and_no_line(overrides: Overrides, key: str, message: str) -> None:
    with pytest.raises(InvalidRecipe) as caught:
        check_recipe(DISTIL, manifests=MANIFESTS, overrides=overrides)
    fault = caught.value.faults[0]
    assert (fault.key, fault.mark) == (key, None)
    assert message in fault.message
