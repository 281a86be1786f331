"""The commands of ``zoo``: names and summaries here, code elsewhere, so that ``zoo --help`` imports none of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FETCH, PUBLISH, WORK, CURATE, ADMIN = (
    "Find and fetch",
    "Publish",
    "Submit and watch",
    "Curate and audit",
    "Sign in and manage",
)


@dataclass(frozen=True)
class Entry:
    """A command: the module and name of its ``typer.Typer``, one line of help, and its panel."""

    target: str
    summary: str
    panel: str


COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "models": Entry("repositories:models", "List, show, create and edit models.", FETCH),
        "datasets": Entry("dataset_commands:datasets", "List, show, create, edit and publish data sets.", FETCH),
        "versions": Entry("versions:versions", "List and show the versions of a model or data set.", FETCH),
        "inspect": Entry("inspecting:inspect", "Say what model files are, of a version or here; offline.", FETCH),
        "leaderboard": Entry("leaderboard:leaderboard", "Rank a task's versions: reported and measured.", FETCH),
        "compare": Entry("comparing:compare", "Compare versions: accuracy against latency, size and MACs.", FETCH),
        "reports": Entry("reports:reports", "Show figures per class, confusions, calibration and sweeps.", FETCH),
        "pull": Entry("pull:pull", "Fetch a version into a folder, resumable and verified.", FETCH),
        "verify": Entry("trust:verify", "Check a pulled folder: files, signature, attestation, chain; offline.", FETCH),
        "lineage": Entry("lineage:lineage", "Show what a version was made from, and what was made from it.", FETCH),
        "metrics": Entry("metrics:metrics", "Show a version's metrics against its base's.", FETCH),
        "catalog": Entry("catalog_commands:catalog", "Import catalogues of other zoos; mirror their files.", PUBLISH),
        "push": Entry("push:push", "Publish files as a new version.", PUBLISH),
        "export": Entry("bundles:export", "Write versions and their ancestors into one file, for an air gap.", PUBLISH),
        "import": Entry("bundles:import_", "Check such a file, and make its versions here.", PUBLISH),
        "seal": Entry("states:seal", "Make a draft a candidate: immutable from then on.", PUBLISH),
        "submit": Entry("submit:submit", "Submit a job: train, distil, convert, quantize, evaluate.", WORK),
        "convert": Entry("convert:convert", "Convert a version to another format along the cheapest path.", WORK),
        "conversions": Entry("convert:conversions", "List what can be converted into what, and why not.", WORK),
        "recipe": Entry("recipe_commands:recipe", "Check, plan, run and watch a recipe.", WORK),
        "pipelines": Entry("pipeline_commands:pipelines", "List, watch, cancel and retry pipelines.", WORK),
        "jobs": Entry("job_commands:jobs", "List, watch, cancel and retry jobs.", WORK),
        "operations": Entry("operations:operations", "List operations; show their ports and parameters.", WORK),
        "workers": Entry("operations:workers", "List the workers and what they are doing.", WORK),
        "approve": Entry("states:approve", "Approve a candidate.", CURATE),
        "deprecate": Entry("states:deprecate", "Mark an approved version as no longer recommended.", CURATE),
        "withdraw": Entry("states:withdraw", "Take a version back; its history stays.", CURATE),
        "delete": Entry("keeping:delete", "Delete a version or a whole model; it can be restored for a while.", CURATE),
        "restore": Entry("keeping:restore", "Take a deletion back.", CURATE),
        "pin": Entry("keeping:pin", "Keep a version: nobody and no policy deletes it.", CURATE),
        "unpin": Entry("keeping:unpin", "Keep a version no longer.", CURATE),
        "alias": Entry("aliases:alias", "Set, list and remove aliases such as production.", CURATE),
        "provenance": Entry("provenance:provenance", "Tell how a version was made, and who decided what.", CURATE),
        "reproduce": Entry("reproduce:reproduce", "Run a version's job again, and compare the results.", CURATE),
        "bom": Entry("bom:bom", "Print a version's bill of materials (CycloneDX, SPDX).", CURATE),
        "sign": Entry("trust:sign", "Have the registry sign what a version lacks.", CURATE),
        "keys": Entry("trust:keys", "Show and choose the signing keys that you trust.", CURATE),
        "audit": Entry("audit_commands:audit", "Read, export and verify the audit log; sign checkpoints.", CURATE),
        "webhook": Entry("webhooks:webhook", "Have an address told what happens in a team.", ADMIN),
        "login": Entry("login:login", "Sign in and keep the token.", ADMIN),
        "logout": Entry("login:logout", "Forget the kept token.", ADMIN),
        "whoami": Entry("login:whoami", "Show who you are and what you may do.", ADMIN),
        "teams": Entry("administration:teams", "List and create teams.", ADMIN),
        "team": Entry("team_storage:team", "Show a team's storage use; set quotas and retention policies.", ADMIN),
        "members": Entry("administration:members", "List, set and remove the members of a team.", ADMIN),
        "tokens": Entry("administration:tokens", "List, create and revoke your tokens.", ADMIN),
        "services": Entry("people:services", "List, create and delete service accounts and their tokens.", ADMIN),
        "sessions": Entry("people:sessions", "List the browsers you are signed in with; sign them out.", ADMIN),
        "users": Entry("administration:users", "List and create users.", ADMIN),
    }
)
