"""The page of the leaderboard: a task's versions, ranked, with reported and measured figures side by side."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from zoo_sdk.errors import InvalidInput
from zoo_sdk.measures import MEASURES
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.catalog.api.leaderboard import describe_row
from zoo_server.catalog.selectors.leaderboard import MAIN_METRIC, LeaderboardQuery, columns_of, leaderboard
from zoo_server.rest.principals import anonymous

SHOWN_ROWS = 200


@require_safe
def leaderboard_page(request: HttpRequest) -> HttpResponse:
    """The first rows of a task that the caller may see; without credentials, what is public."""
    user: Any = request.user
    principal = principal_of_user(user) if user.is_authenticated else anonymous()
    wanted = request.GET.get("task", "")
    task = wanted if wanted in MAIN_METRIC else next(iter(MAIN_METRIC))
    query = LeaderboardQuery(task=task, sort=request.GET.get("sort", "best"))
    try:
        page = leaderboard(principal=principal, query=query, cursor=None, limit=SHOWN_ROWS)
    except InvalidInput:  # an order that there is not: the usual one
        page = leaderboard(principal=principal, query=LeaderboardQuery(task=task), cursor=None, limit=SHOWN_ROWS)
    metric = MAIN_METRIC[task]
    context = {
        "task": task,
        "tasks": list(MAIN_METRIC),
        "rows": [describe_row(row, metric) for row in page.rows],
        "columns": [MEASURES[name] for name in columns_of(metric)],
        "more": page.next_cursor is not None,
        "limit": SHOWN_ROWS,
    }
    response = render(request, "web/leaderboard.html", context)
    response.headers["Cache-Control"] = "private, no-store"
    return response
