"""`python -m zoo_server signing_key ...`: the keys that attestations are signed with, and those of other registries."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from zoo_sdk.errors import InvalidInput, ZooError
from zoo_server.provenance.api.presentation import describe_keys
from zoo_server.provenance.models import TrustedKey
from zoo_server.provenance.selectors import published_keys
from zoo_server.provenance.services.keys import ensure_key, revoke_key, rotate_key
from zoo_server.provenance.services.trusted_keys import distrust_key, trust_key
from zoo_server.rest.principals import SYSTEM


class Command(BaseCommand):
    """Makes, replaces and revokes keys; prints their public halves."""

    help = "Make, rotate, revoke and list the server's signing keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("ensure", help="Make the first key; nothing to do if there is one.")
        actions.add_parser("rotate", help="Make a new key, endorsed by the present one, that signs from now on.")
        revoke = actions.add_parser("revoke", help="Trust a key no longer; what it signed is signed anew.")
        revoke.add_argument("key", help="The whole id of the key.")
        revoke.add_argument("--reason", required=True, help="Published with the key.")
        actions.add_parser("list", help="Print every key as JSON.")
        trust = actions.add_parser("trust", help="Believe another registry's key about the versions in bundles.")
        trust.add_argument("file", type=Path, help="Its public key (PEM), as `zoo keys export` prints it there.")
        trust.add_argument("--name", required=True, help="What the registry is called here.")
        distrust = actions.add_parser("distrust", help="Believe another registry's key no longer.")
        distrust.add_argument("key", help="The whole id of the key.")
        actions.add_parser("trusted", help="Print the keys of other registries that are believed, as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(self._done(options))
        except ZooError as error:
            raise CommandError(str(error)) from error

    def _done(self, options: dict[str, Any]) -> str:
        if options["action"] == "ensure":
            return f"Signing key {ensure_key(principal=SYSTEM).pk}"
        if options["action"] == "rotate":
            return f"Signing key {rotate_key(principal=SYSTEM).pk} from now on"
        if options["action"] == "revoke":
            revoked = revoke_key(principal=SYSTEM, key=options["key"], reason=options["reason"])
            return f"Signing key {revoked.pk} is revoked"
        if options["action"] == "trust":
            key = trust_key(principal=SYSTEM, public_key=_text_of(options["file"]), name=options["name"])
            return f"The key {key.pk} of {key.name} is believed from now on"
        if options["action"] == "distrust":
            distrust_key(principal=SYSTEM, key=options["key"])
            return f"The key {options['key']} is believed no longer"
        if options["action"] == "trusted":
            rows = TrustedKey.objects.order_by("name").values("id", "name", "public_key")
            return json.dumps(list(rows), indent=1)
        return json.dumps([key.model_dump(mode="json") for key in describe_keys(published_keys())], indent=1)


def _text_of(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
