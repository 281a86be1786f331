"""What a worker tells the planner of conversions."""

from importlib.metadata import version

from zoo_sdk.conversions import ConversionEdge, Requirement, Unserved
from zoo_sdk.operations import OperationManifest, Port, Resources
from zoo_sdk.vocabulary import StrategyKind
from zoo_worker.conversions import conversion_facts


def manifest(name: str, *, gpus: int = 0, package: str = "pydantic", edges: int = 1) -> OperationManifest:
    needed = Requirement(kind="package", name=package, reason="it does the work")
    return OperationManifest(
        name=name,
        version=1,
        summary="Converts.",
        params_schema={},
        inputs=(Port(name="model", formats=("onnx",)),),
        outputs=(Port(name="model", formats=("tensorrt-plan",)),),
        resources=Resources(gpus=gpus),
        deterministic=True,
        strategy=StrategyKind.CONVERSION,
        method="build",
        edges=(ConversionEdge(source="onnx", target="tensorrt-plan", requires=(needed,)),) * edges,
    )


def test_packages_that_conversions_need_and_that_are_missing_are_told() -> None:
    assert version("pydantic")
    given = [manifest("one.build"), manifest("two.build", package="no-such-distribution")]
    assert conversion_facts(given, {"one.cpu", "two.cpu"}) == {
        "missing_packages": ["no-such-distribution"],
        "unserved_conversions": [],
    }


def test_conversions_for_queues_that_are_not_served_are_told_and_other_operations_are_not() -> None:
    given = [manifest("one.build", gpus=1), manifest("two.build"), manifest("one.train", gpus=1, edges=0)]
    told = conversion_facts(given, {"two.cpu"})["unserved_conversions"]
    assert [Unserved.model_validate(item) for item in told] == [
        Unserved(operation="one.build", queue="one.gpu", gpus=1, edges=given[0].edges)
    ]
