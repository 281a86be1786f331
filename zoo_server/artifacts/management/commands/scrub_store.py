"""`python -m zoo_server scrub_store [--share 0.05]`: read stored files again, and set damaged ones apart."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from zoo_server.artifacts.scrubbing import scrub
from zoo_server.rest.principals import SYSTEM


class Command(BaseCommand):
    """Ends with an error if something is damaged or gone; the chores read a twentieth every day."""

    help = "Read stored files again, and set damaged ones apart."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--share", type=float, default=1.0, help="Of all files, those not read for longest.")
        parser.add_argument("--seconds", type=float, help="Begin no further file after so long.")
        parser.add_argument("--json", action="store_true", help="Print the outcome as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        done = scrub(principal=SYSTEM, share=options["share"], seconds=options["seconds"])
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done)))
        else:
            self.stdout.write(f"{done.sound} files of {done.size} bytes are sound.")
        if done.damaged or done.missing:
            raise CommandError(
                f"damaged: {', '.join(done.damaged) or 'none'}; missing: {', '.join(done.missing) or 'none'}"
            )
