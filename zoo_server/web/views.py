"""Pages for people: for now the front page, which says what this is and where things are."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from zoo_sdk import __version__


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    """What this server is, with links to the models, the API's documentation and the administration."""
    return render(request, "web/front_page.html", {"version": __version__})
