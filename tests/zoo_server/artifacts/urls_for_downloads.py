"""One route that sends any blob, so that downloads can be tested without the catalogue above them."""

from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from zoo_server.artifacts.downloads import blob_response
from zoo_server.artifacts.models import Blob
from zoo_server.config.urls import urlpatterns as real_urls


def send_blob(request: HttpRequest, sha256: str) -> HttpResponseBase:
    return blob_response(request, Blob.objects.get(sha256=sha256), request.GET.get("name", "model.bin"))


urlpatterns = [path("blob/<str:sha256>", send_blob), *real_urls]
