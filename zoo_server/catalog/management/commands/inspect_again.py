"""`python -m zoo_server inspect_again`: look again at files whose inspection is of an older inspector version."""

import json
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand

from zoo_inspection import INSPECTOR_VERSION
from zoo_server.artifacts.reinspection import Look, inspect_again, waiting_blobs
from zoo_server.catalog.models import Version
from zoo_server.rest.principals import SYSTEM

MAX_NAMED = 20


class Command(BaseCommand):
    """Safe beside a running registry, and to be broken off: the next run goes on with what is left."""

    help = "Inspect the files again whose inspection is of an older inspector version."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, help="At most so many files.")
        parser.add_argument("--seconds", type=float, help="Begin no further file after so long.")
        parser.add_argument("--all", action="store_true", help="Also those of the present inspector version.")
        parser.add_argument("--json", action="store_true", help="Print the outcome as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        counts: Counter[str] = Counter()
        dangerous: list[dict[str, Any]] = []
        looks = inspect_again(
            principal=SYSTEM, limit=options["limit"], seconds=options["seconds"], everything=options["all"]
        )
        for look in looks:
            counts[look.outcome] += 1
            if look.outcome == "changed" and look.severity == "dangerous":
                dangerous.append(self._told(look))
            if look.outcome == "missing":
                self.stderr.write(f"{look.blob.sha256}: its bytes are missing from the store")
        outcome = {
            "inspector": INSPECTOR_VERSION,
            "looked_at": counts.total(),
            **{name: counts[name] for name in ("changed", "unchanged", "missing")},
            "left": waiting_blobs(),
            "dangerous": dangerous,
        }
        if options["json"]:
            self.stdout.write(json.dumps(outcome))
            return
        self.stdout.write(
            f"{outcome['looked_at']} files were looked at: {outcome['changed']} changed, {outcome['unchanged']} not, "
            f"{outcome['missing']} missing; {outcome['left']} are left."
        )
        for item in dangerous:
            self.stdout.write(f"dangerous now: {item['sha256']} in {', '.join(item['versions']) or 'no version'}")

    def _told(self, look: Look) -> dict[str, Any]:
        versions = Version.objects.filter(files__blob=look.blob).select_related("repository__team").distinct()
        return {"sha256": look.blob.sha256, "versions": [str(version) for version in versions[:MAX_NAMED]]}
