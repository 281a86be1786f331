"""Pages for people."""

from django.urls import path

from zoo_server.web.views import front_page

urlpatterns = [path("", front_page, name="front-page")]
