"""Builds a plan with TensorRT's builder: strongly typed, with profiles for dynamic axes and a timing cache."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_sdk.errors import InvalidInput, OperationError
from zoo_tensorrt.specs import BuildParams

MAX_ERRORS = 20


@dataclass(frozen=True)
class Profile:
    """The smallest, usual and largest shape of an input."""

    smallest: tuple[int, ...]
    usual: tuple[int, ...]
    largest: tuple[int, ...]


@dataclass(frozen=True)
class Built:
    """A plan, what the builder measured for later builds, and the profile of each dynamic input."""

    plan: bytes
    timings: bytes
    profiles: Mapping[str, Profile]


def build_plan(
    module: Any, source: Path, params: BuildParams, *, sizes: tuple[int, ...] | None, timings: bytes
) -> Built:
    """Parse and build.

    Args:
        module: ``tensorrt``.
        source: the ONNX file; weights in other files are found beside it.
        params: batches, workspace, level.
        sizes: the shape of one sample, for axes beside the batch that are dynamic.
        timings: of former builds; empty: none.

    Raises:
        InvalidInput: TensorRT does not know a node of the graph, or an axis is dynamic whose size nothing tells.
        OperationError: no kernel fits.

    """
    logger = _Logger(module)
    builder = module.Builder(logger.own)
    # INT8 and FP16 are what the file says they are; the flags that guessed them are gone in TensorRT 11.
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(module, network, logger, source)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, int(params.workspace_gib * 2**30))
    config.builder_optimization_level = params.optimization_level
    if not params.tf32:
        # On by default since Ampere: float32 would not be what the source computes.
        config.clear_flag(module.BuilderFlag.TF32)
    profiles = _profiles(network, params, sizes)
    if profiles:
        profile = builder.create_optimization_profile()
        for name, shapes in profiles.items():
            profile.set_shape(name, shapes.smallest, shapes.usual, shapes.largest)
        config.add_optimization_profile(profile)
    cache = config.create_timing_cache(timings)
    config.set_timing_cache(cache, ignore_mismatch=False)
    serialised = builder.build_serialized_network(network, config)
    if serialised is None:
        raise OperationError(
            f"TensorRT {module.__version__} could not build the plan: {logger.told}",
            hint="Give more workspace_gib, or a smaller max_batch.",
        )
    return Built(bytes(serialised), bytes(config.get_timing_cache().serialize()), profiles)


class _Logger:
    """Collects what TensorRT complains of; it prints everything else itself."""

    def __init__(self, module: Any) -> None:
        messages: list[str] = []

        class Collecting(module.ILogger):
            def __init__(self) -> None:
                module.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in {module.ILogger.Severity.INTERNAL_ERROR, module.ILogger.Severity.ERROR}:
                    messages.append(message)

        self.own = Collecting()
        self._messages = messages

    @property
    def told(self) -> str:
        return "; ".join(self._messages[-MAX_ERRORS:])[:2000] or "it gave no reason"


def _parse(module: Any, network: Any, logger: _Logger, source: Path) -> None:
    parser = module.OnnxParser(network, logger.own)
    if parser.parse_from_file(str(source)):
        return
    count = min(parser.num_errors, MAX_ERRORS)
    told = "; ".join(str(parser.get_error(number).desc()) for number in range(count)) or logger.told
    raise InvalidInput(
        f"TensorRT {module.__version__} cannot read {source.name!r}: {told[:2000]}",
        hint="Optimise the model or change its opset (onnxruntime.optimise, onnxruntime.convert_opset) and try again.",
    )


def _profiles(network: Any, params: BuildParams, sizes: tuple[int, ...] | None) -> dict[str, Profile]:
    found = {}
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(int(size) for size in tensor.shape)
        if all(size >= 0 for size in shape):
            continue
        rest = sizes if sizes is not None and len(sizes) == len(shape) - 1 else shape[1:]
        if any(size < 0 for size in rest):
            raise InvalidInput(
                f"The input {tensor.name!r} has the shape {shape}, and nothing tells the size of its dynamic axes.",
                hint="Push the version again with `preprocessing`, or export it with a fixed size.",
            )
        batches = (params.min_batch, params.opt_batch, params.max_batch) if shape[0] < 0 else (shape[0],) * 3
        found[tensor.name] = Profile(*((batch, *rest) for batch in batches))
    return found
