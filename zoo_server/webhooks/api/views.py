"""Routes of webhooks, below the team that they belong to; for those who administer it."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import team_for
from zoo_server.catalog.api.answers import page_of
from zoo_server.catalog.api.bodies import parsed
from zoo_server.catalog.api.routes import answer
from zoo_server.rest.pagination import Order, keyset_page
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import validated
from zoo_server.webhooks.api import bodies
from zoo_server.webhooks.models import Delivery, Webhook
from zoo_server.webhooks.services import managing

TAGS = ["webhooks"]


class WebhookView(APIView):
    """A route below a team."""

    scopes = dict.fromkeys(("GET", "POST", "PATCH", "DELETE"), Scope.ADMIN)

    def team(self, request: Request) -> Team:
        """The team in the address, if the caller administers it."""
        return team_for(principal=principal_of(request), name=self.kwargs["team"], scope=Scope.ADMIN)

    def webhook(self, request: Request) -> Webhook:
        """The webhook in the address."""
        return managing.webhook_for(team=self.team(request), webhook_id=self.kwargs["webhook_id"])

    def delivery(self, request: Request) -> Delivery:
        """The message in the address."""
        return managing.delivery_for(webhook=self.webhook(request), delivery_id=self.kwargs["delivery_id"])


class WebhookList(WebhookView):
    """A team's webhooks."""

    @extend_schema(operation_id="list_webhooks", tags=TAGS, responses=bodies.WebhooksAnswer)
    def get(self, request: Request, **_: Any) -> Response:
        """List them, newest first."""
        rows = Webhook.objects.filter(team=self.team(request)).select_related("team", "created_by").order_by("-id")
        return answer(bodies.WebhooksAnswer(results=[bodies.describe_webhook(row) for row in rows]))

    @extend_schema(
        operation_id="create_webhook",
        tags=TAGS,
        request=bodies.WebhookCreation,
        responses={201: bodies.NewWebhookAnswer},
    )
    def post(self, request: Request, **_: Any) -> Response:
        """Make one; its secret is in this answer only."""
        team, body = self.team(request), parsed(bodies.WebhookCreation, request.data)
        row, secret = managing.create_webhook(principal=principal_of(request), team=team, **body.model_dump())
        return answer(bodies.describe_webhook(row, secret=secret), status.HTTP_201_CREATED)


class WebhookDetail(WebhookView):
    """One webhook."""

    @extend_schema(operation_id="webhook", tags=TAGS, responses=bodies.WebhookAnswer)
    def get(self, request: Request, **_: Any) -> Response:
        """Show it."""
        return answer(bodies.describe_webhook(self.webhook(request)))

    @extend_schema(
        operation_id="update_webhook", tags=TAGS, request=bodies.WebhookChange, responses=bodies.WebhookAnswer
    )
    def patch(self, request: Request, **_: Any) -> Response:
        """Change its address, its events, its description, or whether it is active."""
        webhook, body = self.webhook(request), parsed(bodies.WebhookChange, request.data)
        changes = body.model_dump(include=body.model_fields_set)
        row = managing.update_webhook(principal=principal_of(request), webhook=webhook, **changes)
        return answer(bodies.describe_webhook(row))

    @extend_schema(operation_id="remove_webhook", tags=TAGS, responses={204: None})
    def delete(self, request: Request, **_: Any) -> Response:
        """Remove it with its log."""
        managing.remove_webhook(principal=principal_of(request), webhook=self.webhook(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class WebhookRotation(WebhookView):
    """A new secret."""

    @extend_schema(operation_id="rotate_webhook", tags=TAGS, request=None, responses=bodies.SecretAnswer)
    def post(self, request: Request, **_: Any) -> Response:
        """Make it; both sign for a day."""
        webhook = self.webhook(request)
        secret = managing.rotate_secret(principal=principal_of(request), webhook=webhook)
        webhook.refresh_from_db(fields=["former_until"])
        return Response({"secret": secret, "former_until": webhook.former_until})


class WebhookTest(WebhookView):
    """A message to try it."""

    @extend_schema(operation_id="test_webhook", tags=TAGS, request=None, responses={202: bodies.DeliveryAnswer})
    def post(self, request: Request, **_: Any) -> Response:
        """Have a `webhook.test` sent within seconds; the log tells what came of it."""
        row = managing.try_webhook(principal=principal_of(request), webhook=self.webhook(request))
        return answer(bodies.describe_delivery(row), status.HTTP_202_ACCEPTED)


class DeliveryList(WebhookView):
    """What was told."""

    @extend_schema(
        operation_id="list_deliveries",
        tags=TAGS,
        parameters=[bodies.DeliveryQuery],
        responses=page_of(bodies.DeliveryAnswer),
    )
    def get(self, request: Request, **_: Any) -> Response:
        """List it, newest first; it is kept for 30 days."""
        query = validated(bodies.DeliveryQuery, request.query_params)
        page = {"cursor": query.pop("cursor"), "limit": query.pop("limit")}
        rows = Delivery.objects.filter(webhook=self.webhook(request), **query).defer("body")
        found = keyset_page(rows, [Order("id", descending=True)], **page)
        return Response(found.answer(lambda row: bodies.describe_delivery(row).model_dump(mode="json")))


class DeliveryDetail(WebhookView):
    """One message."""

    @extend_schema(operation_id="delivery", tags=TAGS, responses=bodies.DeliveryDetailAnswer)
    def get(self, request: Request, **_: Any) -> Response:
        """Show its body and every try."""
        return answer(bodies.describe_delivery_whole(self.delivery(request)))


class Redelivery(WebhookView):
    """A message once more."""

    @extend_schema(operation_id="redeliver", tags=TAGS, request=None, responses={202: bodies.DeliveryAnswer})
    def post(self, request: Request, **_: Any) -> Response:
        """Send it again under the same id; 409 while it is waiting."""
        row = managing.redeliver(principal=principal_of(request), delivery=self.delivery(request))
        return answer(bodies.describe_delivery(row), status.HTTP_202_ACCEPTED)
