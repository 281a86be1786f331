"""Routes of this app below /api/v1."""

from django.urls import path

from zoo_server.accounts.api import people_views, views

urlpatterns = [
    path("login", views.Login.as_view(), name="login"),
    path("whoami", views.Whoami.as_view(), name="whoami"),
    path("teams", views.TeamList.as_view(), name="teams"),
    path("teams/<str:team>", views.TeamDetail.as_view(), name="team"),
    path("teams/<str:team>/members", views.MemberList.as_view(), name="members"),
    path("teams/<str:team>/members/<str:username>", views.MemberDetail.as_view(), name="member"),
    path("teams/<str:team>/services", people_views.ServiceList.as_view(), name="services"),
    path("teams/<str:team>/services/<str:name>", people_views.ServiceDetail.as_view(), name="service"),
    path("teams/<str:team>/services/<str:name>/tokens", people_views.ServiceTokenList.as_view(), name="service-tokens"),
    path("sessions", people_views.WebSessionList.as_view(), name="sessions"),
    path("sessions/<uuid:session_id>", people_views.WebSessionDetail.as_view(), name="session"),
    path("tokens", views.TokenList.as_view(), name="tokens"),
    path("tokens/<uuid:token_id>", views.TokenDetail.as_view(), name="token"),
    path("users", views.UserList.as_view(), name="users"),
]
