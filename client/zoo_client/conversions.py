"""Conversions: the path that the registry would take, and the pipeline that goes along it."""

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack, cast
from uuid import uuid4

from zoo_client.api import Api
from zoo_client.pipelines import PLAN_PATIENCE_SECONDS
from zoo_client.records import ConversionPlan, Pipeline


class ConversionChoice(TypedDict, total=False):
    """What is asked for beside version and format; what is left out has the registry's defaults.

    ``options``: parameters by operation; ``data``: a data set for calibration and parity; ``model``: who gets the
    versions; ``cache``: as for a job.
    """

    precision: str | None
    options: Mapping[str, Mapping[str, Any]]
    data: str | None
    team: str | None
    model: str | None
    cache: str


class Conversions:
    """``client.conversions``: plan and start."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def edges(self) -> list[dict[str, Any]]:
        """Everything that can be converted into something, by operation, and why what cannot be done now cannot."""
        return cast("list[dict[str, Any]]", self._api.get("conversions")["edges"])

    def plan(self, version: str, to: str, **choice: Unpack[ConversionChoice]) -> ConversionPlan:
        """The cheapest available path to the format ``to``, and why other edges cannot be taken; starts nothing.

        Raises:
            InvalidInput: an unknown format, or an option that is wrong.
            NotFound: there is no such version, or you may not see it.

        """
        answer = self._api.post(
            "conversions/plan", _body(version, to, choice), repeatable=True, patience=PLAN_PATIENCE_SECONDS
        )
        return cast("ConversionPlan", answer)

    def start(
        self,
        version: str,
        to: str,
        *,
        priority: int | None = None,
        idempotency_key: str | None = None,
        **choice: Unpack[ConversionChoice],
    ) -> Pipeline:
        """Go along that path: a pipeline with a version for each step.  Raises as above.

        Raises:
            InvalidInput: no available path leads there.
            Conflict: the version has an artifact in that format and precision.

        """
        body = _body(version, to, choice) | ({} if priority is None else {"priority": priority})
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        answer = self._api.send(
            "POST", "conversions", body=body, headers=headers, repeatable=True, patience=PLAN_PATIENCE_SECONDS
        )
        return cast("Pipeline", answer)


def _body(version: str, to: str, choice: ConversionChoice) -> dict[str, Any]:
    return {"version": version, "to": to} | {key: value for key, value in choice.items() if value not in (None, {})}
