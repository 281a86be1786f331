"""`python -m zoo_server audit_checkpoint write|verify`: signed checkpoints of the audit log, outside the database."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from zoo_sdk.attestations import key_id
from zoo_sdk.errors import ZooError
from zoo_server.audit.api.serializers import verification_answer
from zoo_server.audit.selectors import verify_chain
from zoo_server.provenance.key_files import public_keys
from zoo_server.provenance.services.checkpoints import checkpoints_file, read_checkpoints, write_checkpoint
from zoo_server.provenance.services.keys import keys_folder


class Command(BaseCommand):
    """Writes a checkpoint, or checks the whole log against those that were written."""

    help = "Sign what the audit log is now, or check the log against the signed checkpoints."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for name, text in (
            ("write", "Append a checkpoint to the file."),
            (
                "verify",
                "Recompute the chain and compare it with every checkpoint; exit code 1 if it does not fit.",
            ),
        ):
            action = actions.add_parser(name, help=text)
            action.add_argument("--file", type=Path, help="Default: ZOO_AUDIT_CHECKPOINTS.")
            if name == "verify":
                action.add_argument("--json", action="store_true", help="Print the outcome as JSON.")
                action.add_argument(
                    "--key", type=Path, action="append",
                    help="Trust only this public key (PEM); default: the keys in ZOO_SIGNING_KEYS_DIR.",
                )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["action"] == "write":
                made = write_checkpoint(options["file"])
                self.stdout.write(f"Link {made.sequence} {made.hash}" if made else "Nothing new since the last one.")
            else:
                self._verify(options)
        except ZooError as error:
            raise CommandError(str(error)) from error

    def _verify(self, options: dict[str, Any]) -> None:
        path = options["file"] or checkpoints_file()
        if not path.is_file():
            raise CommandError(f"There are no checkpoints in {path}.")
        texts = [item.read_text("utf-8") for item in options["key"] or ()]
        keys = {key_id(text): text for text in texts} if texts else public_keys(keys_folder())
        checkpoints = read_checkpoints(path, keys)
        found = verify_chain(checkpoints=checkpoints)
        if options["json"]:
            self.stdout.write(json.dumps(verification_answer(found) | {"checkpoints": len(checkpoints)}, default=str))
        broken = found.first_broken
        if broken:
            raise CommandError(f"Broken at link {broken.sequence} (event {broken.event}): {broken.reason}.")
        if not options["json"]:
            self.stdout.write(f"{found.events} events, unbroken, as in {len(checkpoints)} checkpoints")
