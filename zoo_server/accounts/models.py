"""Users, teams, memberships and tokens."""

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.rest.choices import choices_of
from zoo_server.rest.identifiers import new_id


class User(AbstractUser):
    """A person or a service (a worker).  A superuser administers the whole server.

    ``home``: the team that a service account belongs to; its admins make and end the account and its tokens.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    is_service = models.BooleanField(default=False)
    home = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, null=True, blank=True, related_name="services")


class Team(models.Model):
    """The namespace and owner of models and data sets."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=96, unique=True)
    title = models.CharField(max_length=200, blank=True)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's role in a team."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=choices_of(TeamRole))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_role_per_member")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.team}"


class Token(models.Model):
    """A bearer token: only the sha256 of its secret is kept, so a copy of the database opens nothing.

    What it may do is the intersection of its ``scopes`` with its user's rights.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False)
    scopes = ArrayField(models.CharField(max_length=20, choices=choices_of(Scope)))
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"


class WebSession(models.Model):
    """A browser in which somebody signed in: what lists show of Django's session with the key ``session_key``."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="web_sessions")
    session_key = models.CharField(max_length=40, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(default=timezone.now)
    address = models.GenericIPAddressField(null=True, blank=True)
    agent = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.user} from {self.address or 'somewhere'}"


class FailureCount(models.Model):
    """How many wrong passwords or tokens there were since a moment (see :mod:`zoo_server.accounts.throttling`)."""

    key = models.CharField(max_length=80, primary_key=True, editable=False)
    failures = models.PositiveIntegerField()
    since = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
