"""Signing in and out of the pages for people; what the admin pages show beyond that is for staff."""

from django.contrib.auth.views import LoginView, LogoutView


class SignIn(LoginView):
    """A form for name and password; leads on to ``next`` if that is a page of ours, else to the pipelines."""

    template_name = "web/sign_in.html"
    next_page = "pipelines"


class SignOut(LogoutView):
    """Ends the session (POST only, so that no link or picture can do it) and leads to the front page."""

    next_page = "front-page"
