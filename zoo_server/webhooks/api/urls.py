"""Routes of this app below /api/v1."""

from django.urls import path

from zoo_server.webhooks.api import views

TEAM = "teams/<str:team>/webhooks"
ONE = f"{TEAM}/<uuid:webhook_id>"
DELIVERY = f"{ONE}/deliveries/<uuid:delivery_id>"

urlpatterns = [
    path(TEAM, views.WebhookList.as_view(), name="webhooks"),
    path(ONE, views.WebhookDetail.as_view(), name="webhook"),
    path(f"{ONE}/rotate", views.WebhookRotation.as_view(), name="webhook-rotate"),
    path(f"{ONE}/test", views.WebhookTest.as_view(), name="webhook-test"),
    path(f"{ONE}/deliveries", views.DeliveryList.as_view(), name="webhook-deliveries"),
    path(DELIVERY, views.DeliveryDetail.as_view(), name="webhook-delivery"),
    path(f"{DELIVERY}/redeliver", views.Redelivery.as_view(), name="webhook-redeliver"),
]
