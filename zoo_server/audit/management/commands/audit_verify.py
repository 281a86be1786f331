"""`python -m zoo_server audit_verify`: check the audit chain on the server itself."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from zoo_server.audit.api.serializers import verification_answer
from zoo_server.audit.selectors import verify_chain


class Command(BaseCommand):
    """Prints the outcome; exits with 1 and the first broken row when the log was tampered with."""

    help = "Check that no audit event was changed, removed or reordered."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the outcome as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = verify_chain()
        if options["json"]:
            self.stdout.write(json.dumps(verification_answer(found), default=str))
        broken = found.first_broken
        if broken:
            raise CommandError(f"Broken at link {broken.sequence} (event {broken.event}): {broken.reason}.")
        if not options["json"]:
            self.stdout.write(f"{found.events} events, unbroken; head {found.head_sequence} {found.head_hash}")
