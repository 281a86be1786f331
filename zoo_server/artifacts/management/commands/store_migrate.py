"""`python -m zoo_server store_migrate --to s3|local`: copy all blobs from the folder to the bucket, or back."""

import json
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from zoo_server.artifacts.migrating import Place, migrate_blobs, store_at


class Command(BaseCommand):
    """Safe beside a running registry, and to be broken off.  Run it again after the switch for what came meanwhile."""

    help = "Copy all blobs from the folder to the bucket, or back; nothing is removed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", choices=["s3", "local"], required=True, help="Where the blobs are to be.")
        parser.add_argument("--verify", action="store_true", help="Read and hash again what is there already.")
        parser.add_argument("--json", action="store_true", help="Print the outcome as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        target: Place = options["to"]
        source: Place = "local" if target == "s3" else "s3"
        counts: Counter[str] = Counter()
        size = 0
        moved = migrate_blobs(source=store_at(source), target=store_at(target), verify=options["verify"])
        for item in moved:
            counts[item.outcome] += 1
            size += item.blob.size if item.outcome == "copied" else 0
            if item.outcome in {"missing", "damaged"}:
                self.stderr.write(f"{item.blob.sha256} ({item.blob.size} bytes): {item.outcome}")
        outcome = {name: counts[name] for name in ("copied", "there", "verified", "missing", "damaged")}
        if options["json"]:
            self.stdout.write(json.dumps({"to": target, **outcome, "copied_bytes": size}))
        else:
            told = ", ".join(f"{count} {name}" for name, count in outcome.items() if count) or "no blobs"
            self.stdout.write(f"{told}; {size} bytes were copied to {target}.")
        if counts["missing"] or counts["damaged"]:
            raise CommandError(f"{counts['missing']} blobs are missing and {counts['damaged']} damaged; see above.")
