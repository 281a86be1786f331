"""`python -m zoo_server bootstrap`: make the first accounts and print their tokens once."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from zoo_server.accounts.bootstrapping import bootstrap


class Command(BaseCommand):
    """Makes the administrator, the first team and the worker's user; safe to run at every start."""

    help = "Make the first accounts; prints their tokens the first time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the outcome as JSON.")
        parser.add_argument("--new-admin-token", action="store_true", help="Issue another token for the administrator.")
        parser.add_argument("--new-worker-token", action="store_true", help="Issue another token for workers.")

    def handle(self, *args: Any, **options: Any) -> None:
        made = bootstrap(new_admin_token=options["new_admin_token"], new_worker_token=options["new_worker_token"])
        if options["json"]:
            self.stdout.write(json.dumps(asdict(made)))
            return
        self.stdout.write("Accounts were made." if made.created else "The accounts were there already.")
        for title, secret in (("admin", made.admin_token), ("worker", made.worker_token)):
            if secret:
                self.stdout.write(f"{title} token (shown once): {secret}")
