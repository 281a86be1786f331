"""The page of a comparison: versions side by side, Pareto fronts as pictures, and what is not comparable."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from rest_framework.exceptions import ValidationError

from zoo_sdk.errors import InvalidInput, NotFound
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.catalog.api.comparison import ComparisonAnswer, describe_comparison, query_of
from zoo_server.catalog.selectors.comparison import compare_versions
from zoo_server.rest.principals import anonymous
from zoo_server.web.scatter import draw


@require_safe
def comparison_page(request: HttpRequest) -> HttpResponse:
    """Versions that the caller may see; ``?versions=a b c`` of the form means ``?version=a&version=b&version=c``."""
    user: Any = request.user
    principal = principal_of_user(user) if user.is_authenticated else anonymous()
    parameters = request.GET.copy()
    for typed in parameters.pop("versions", []):
        parameters.setlist("version", [*parameters.getlist("version"), *str(typed).split()])
    for name in [name for name, value in parameters.items() if name != "version" and value == ""]:
        del parameters[name]
    context: dict[str, Any] = {"typed": " ".join(parameters.getlist("version")), "given": parameters.dict()}
    status = 200
    if parameters.getlist("version"):
        try:
            query = query_of(parameters)
            found = describe_comparison(compare_versions(principal=principal, query=query))
            context |= _shown(found)
        except ValidationError:
            status, context["fault"] = 422, "The address holds a value that cannot be."
        except (InvalidInput, NotFound) as error:
            status, context["fault"] = 404 if isinstance(error, NotFound) else 422, error.detail
    response = render(request, "web/compare.html", context, status=status)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _shown(found: ComparisonAnswer) -> dict[str, Any]:
    """Only columns in which anybody has a figure, and only pictures that show something."""
    names = [column.metric for column in found.versions[0].columns]
    used = [
        index
        for index, _ in enumerate(names)
        if any(version.columns[index].measured or version.columns[index].reported for version in found.versions)
    ]
    rows = [(version, [version.columns[index] for index in used]) for version in found.versions]
    left_out = {(item.reference, item.reason) for front in found.fronts for item in front.left_out}
    return {
        "found": found,
        "columns": [found.versions[0].columns[index] for index in used],
        "rows": rows,
        "pictures": [picture for front in found.fronts if (picture := draw(front))],
        "left_out": sorted(left_out),
    }
