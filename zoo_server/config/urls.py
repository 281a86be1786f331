"""The URL map: the API below ``/api/v1``, the admin, the API's documentation, and pages for people."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]
