"""`python -m zoo_server collect_garbage [--dry-run]`: remove the files that nothing refers to."""

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from zoo_server.artifacts.collection import GRACE, collect_garbage
from zoo_server.rest.principals import SYSTEM


class Command(BaseCommand):
    """Safe beside a running registry, uploads included; the chores do the same every hour."""

    help = "Remove the files that nothing refers to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be removed.")
        parser.add_argument("--grace-hours", type=float, default=GRACE.total_seconds() / 3600, help="Default: 24.")
        parser.add_argument("--limit", type=int, help="At most so many files.")
        parser.add_argument("--json", action="store_true", help="Print the outcome as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = collect_garbage(
            principal=SYSTEM,
            grace=timedelta(hours=options["grace_hours"]),
            dry_run=options["dry_run"],
            limit=options["limit"],
        )
        if options["json"]:
            self.stdout.write(json.dumps({"blobs": found.blobs, "bytes": found.size, "dry_run": options["dry_run"]}))
            return
        verb = "would be" if options["dry_run"] else "were"
        self.stdout.write(f"{found.blobs} files of {found.size} bytes {verb} removed.")
