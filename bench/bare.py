"""Runs one operation in a fresh process and nothing else: ``python -m bench.bare ORDER.json`` prints what came out.

The baseline of jobs: the same code on the same inputs, called as a function.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.operations import perform
from zoo_sdk.context import InputItem


class Order(BaseModel):
    """What to run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: str
    params: dict[str, Any]
    inputs: dict[str, InputItem]
    seed: int
    threads: int
    folder: Path


def main() -> None:
    """Run the order named on the command line; print the digest of what was made as JSON."""
    order = Order.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    outcome = perform(
        order.operation, order.params, order.inputs, folder=order.folder, seed=order.seed, threads=order.threads
    )
    digest = f"sha256:{sha256(outcome.made.main_file.read_bytes()).hexdigest()}" if outcome.made else None
    sys.stdout.write(json.dumps({"seconds": outcome.seconds, "sha256": digest}) + "\n")


if __name__ == "__main__":
    main()
