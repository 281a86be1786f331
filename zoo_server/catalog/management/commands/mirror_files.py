"""`python -m zoo_server mirror_files`: fetch the remote files that somebody asked for, until none is due."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from zoo_server.catalog import services


class Command(BaseCommand):
    """Does at once what the chores do in pieces; safe beside them, since only one process fetches at a time."""

    help = "Fetch the remote files that are due."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--slice-seconds", type=float, default=600.0, help="How long one file is fetched at a time."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        while services.mirror_next(seconds=options["slice_seconds"]):
            count += 1
        self.stdout.write(f"{count} pieces of work were done; none is due now.")
