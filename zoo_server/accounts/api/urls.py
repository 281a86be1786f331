"""Routes of this app below /api/v1."""

from django.urls import path

from zoo_server.accounts.api import views

urlpatterns = [
    path("login", views.Login.as_view(), name="login"),
    path("whoami", views.Whoami.as_view(), name="whoami"),
    path("teams", views.TeamList.as_view(), name="teams"),
    path("teams/<str:team>", views.TeamDetail.as_view(), name="team"),
    path("teams/<str:team>/members", views.MemberList.as_view(), name="members"),
    path("teams/<str:team>/members/<str:username>", views.MemberDetail.as_view(), name="member"),
    path("tokens", views.TokenList.as_view(), name="tokens"),
    path("tokens/<uuid:token_id>", views.TokenDetail.as_view(), name="token"),
    path("users", views.UserList.as_view(), name="users"),
]
