"""Pages for people."""

from django.urls import path

from zoo_server.web.comparison import comparison_page
from zoo_server.web.leaderboard import leaderboard_page
from zoo_server.web.pipelines import pipeline_list, pipeline_page
from zoo_server.web.views import front_page

urlpatterns = [
    path("", front_page, name="front-page"),
    path("compare", comparison_page, name="compare-page"),
    path("leaderboard", leaderboard_page, name="leaderboard-page"),
    path("pipelines", pipeline_list, name="pipelines"),
    path("pipelines/<uuid:pipeline_id>", pipeline_page, name="pipeline"),
]
