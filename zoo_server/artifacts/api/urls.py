"""Routes of this app below /api/v1."""

from django.urls import path

from zoo_server.artifacts.api.views import UploadCompletion, UploadDetail, UploadList, UploadParts

urlpatterns = [
    path("uploads", UploadList.as_view(), name="uploads"),
    path("uploads/<uuid:upload_id>", UploadDetail.as_view(), name="upload"),
    path("uploads/<uuid:upload_id>/parts", UploadParts.as_view(), name="upload-parts"),
    path("uploads/<uuid:upload_id>/complete", UploadCompletion.as_view(), name="upload-completion"),
]
