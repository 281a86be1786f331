"""Pages for people."""

from django.urls import path

from zoo_server.web.comparison import comparison_page
from zoo_server.web.leaderboard import leaderboard_page
from zoo_server.web.pipelines import pipeline_list, pipeline_page
from zoo_server.web.sign_in import SignIn, SignOut
from zoo_server.web.views import front_page

urlpatterns = [
    path("", front_page, name="front-page"),
    path("sign-in", SignIn.as_view(), name="sign-in"),
    path("sign-out", SignOut.as_view(), name="sign-out"),
    path("compare", comparison_page, name="compare-page"),
    path("leaderboard", leaderboard_page, name="leaderboard-page"),
    path("pipelines", pipeline_list, name="pipelines"),
    path("pipelines/<uuid:pipeline_id>", pipeline_page, name="pipeline"),
]
