"""Runs operations of OpenVINO as a worker's child does, in this process, and then gets a signal: ``… FOLDER``."""

import os
import signal
import sys
from pathlib import Path

from tests.zoo_vision.samples import context_for, inputs, npz_digits, onnx_item, write_digits_model
from zoo_openvino.specs import EVALUATE, QUANTIZE
from zoo_sdk.execution import run_operation


def main(folder: Path) -> None:
    signal.signal(signal.SIGTERM, lambda number, _frame: print(f"handled {signal.Signals(number).name}"))
    model, other = (onnx_item(write_digits_model(folder / f"{seed}.onnx", seed=seed)) for seed in (0, 5))
    data = npz_digits(folder / "data")
    params = {"samples": 20, "parity_samples": 100, "min_agreement": 0}
    params["accuracy_control"] = {"max_drop": 2.0, "samples": 150, "ranking_samples": 50}
    for spec, chosen, given in (
        (QUANTIZE, params, inputs(model=model, data=data)),
        (EVALUATE, {}, inputs(model=model, data=data, reference=other)),
    ):
        run_operation(spec, chosen, given, context_for(spec, folder))
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
