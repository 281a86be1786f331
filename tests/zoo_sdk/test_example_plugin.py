"""The example plugin, which uses every extension point, passes the conformance suite."""

from pathlib import Path

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.conformance import Case, PluginConformance, perform, tiny_dataset
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.execution import Workplace


def made_model(folder: Path, name: str, *, weight: float | None = None) -> InputItem:
    """A model that ``example.make`` made from its seed."""
    run = perform(find_operation("example.make"), {"passes": 1}, Inputs(ports={}), Workplace.under(folder / name))
    artifact: ArtifactDescription = run.context.artifacts["model"][0]
    reference = f"examples/{name}@1"
    return InputItem(reference=reference, folder=run.context.output(), artifact=artifact, weight=weight)


def make_inputs(folder: Path) -> Inputs:
    return Inputs(
        ports={
            "data": (tiny_dataset(folder),),
            "base": (made_model(folder, "base"),),
            "teacher": (made_model(folder, "one", weight=2), made_model(folder, "two", weight=1)),
        }
    )


def score_inputs(folder: Path) -> Inputs:
    return Inputs(ports={"data": (tiny_dataset(folder),), "model": (made_model(folder, "model"),)})


class TestConformance(PluginConformance):
    distribution = "zoo-example"
    cases = (
        Case("example.make", {"rounding": "integer", "blend": {"share": 0.2}, "notes": True}, make_inputs),
        Case("example.score", {"limit": 50}, score_inputs),
        Case("example.wait", {"steps": 2, "seconds": 0.001}),
    )
