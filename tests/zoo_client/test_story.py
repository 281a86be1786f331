"""The story of a version as text, Mermaid and DOT: complete, in order, and safe whatever the names are."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from zoo_client.story import graphviz, mermaid, story_lines


def version(key: str, reference: str, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": key, "reference": reference, "kind": "model", "state": "candidate", "digest": f"sha256:{key}",
        "created_by": "curie", "created_at": "2026-11-01T10:00:00Z", "sealed_at": None,
        "step": {"kind": "distillation", "method": "kd", "operation": "torch.distill"}, "job": None, "metrics": [],
        "decisions": [], "attested_by": None, "attested_at": None,
    }  # fmt: skip
    return plain | changes


JOB = {
    "id": "01", "operation": "torch.distill", "operation_version": 2, "params": {"temperature": 4, "mode": "soft"},
    "seed": 7, "by": "ada", "worker": "box-1", "attempt": 1, "started_at": "2026-11-02T08:00:00Z",
    "finished_at": "2026-11-02T09:00:00Z", "cached_from": None, "recipe": "slim", "step": "student",
}  # fmt: skip
STORY: dict[str, Any] = {
    "root": "c",
    "truncated": False,
    "versions": [
        version(
            "c",
            "vision/slim@3",
            state="approved",
            job=JOB,
            attested_by="feed",
            metrics=[{"name": "top1", "value": 91.5, "source": "measured", "split": "test"}],
            decisions=[
                {"what": "sealed", "by": "ada", "at": "2026-11-02T09:00:00Z", "comment": ""},
                {"what": "approved", "by": "curie", "at": "2026-11-03T09:00:00Z", "comment": "Good."},
            ],
        ),
        version("b", "vision/base@1"),
        version("d", "vision/digits@1", kind="dataset", step=None),
    ],
    "edges": [
        {"child": "c", "parent": "b", "reference": "vision/base@1", "role": "base", "weight": None},
        {"child": "c", "parent": "h", "reference": "(hidden)", "role": "teacher", "weight": 0.5},
        {"child": "c", "parent": "d", "reference": "vision/digits@1", "role": "trained_on", "weight": None},
        {"child": "b", "parent": "https://x.org/w", "reference": None, "role": "base", "weight": None},
        {"child": "b", "parent": "d", "reference": "vision/digits@1", "role": "trained_on", "weight": None},
    ],
}


def test_the_text_begins_at_the_beginnings_and_tells_every_job_and_decision():
    text = "\n".join(story_lines(STORY))
    order = [line.split()[1] for line in text.splitlines() if re.match(r"\d+\. ", line)]
    assert order == ["vision/digits@1", "vision/base@1", "vision/slim@3"]
    for part in (
        "distillation (kd) by torch.distill v2, job 01 of the recipe slim (step student)",
        "submitted by ada, run by box-1 (attempt 1), 2026-11-02 08:00 to 2026-11-02 09:00",
        'seed 7; temperature=4 mode="soft"',
        "teacher: (hidden) (weight 0.5)",
        "base: https://x.org/w",
        "metrics: top1 91.5 (measured)",
        "2026-11-03 09:00  approved by curie: Good.",
        "attested by the key feed",
        "brought by curie on 2026-11-01 10:00",
    ):
        assert part in text


def test_a_job_that_is_not_shown_and_one_from_the_cache_are_told_as_such():
    hidden = dict.fromkeys(JOB) | {"id": "02"}
    text = "\n".join(story_lines(STORY | {"versions": [version("c", "a/b@1", job=hidden)], "edges": []}))
    assert "made by the job 02; distillation (kd)" in text
    cached = STORY | {"versions": [version("c", "a/b@1", job=JOB | {"cached_from": "03"})], "edges": []}
    assert "taken from the result cache: the job 03 ran" in "\n".join(story_lines(cached))


def test_a_chain_of_ten_thousand_versions_is_no_problem():
    versions = [version(str(number), f"a/m@{number}") for number in range(10_000)]
    edges = [
        {"child": str(number), "parent": str(number + 1), "reference": None, "role": "base", "weight": None}
        for number in range(9_999)
    ]
    lines = list(story_lines({"root": "0", "versions": versions, "edges": edges, "truncated": False}))
    assert lines[0].startswith("1. a/m@9999")


def test_the_pictures_have_every_version_job_and_edge():
    picture = mermaid(STORY)
    assert picture.startswith("flowchart TD\n")
    assert '[("vision/digits@1<br/>candidate")]' in picture
    assert '["vision/slim@3<br/>approved by curie"]' in picture
    assert picture.count("-->") == 6
    drawn = graphviz(STORY)
    assert drawn.count("->") == 6
    assert 'label="torch.distill\\n01", shape=hexagon' in drawn


HOSTILE = 'a"]; click v0 "javascript:x" <script>|`\\\n%%'


def test_names_cannot_break_out_of_the_pictures():
    story = STORY | {"versions": [version("c", HOSTILE)], "edges": [STORY["edges"][1] | {"reference": HOSTILE}]}
    picture = mermaid(story)
    text = r'"(?:<br/>|[^"<>\[\]`|])*"'
    allowed = rf"    (?:\w+(?:\[|\(\[){text}(?:\]|\]\))|style .*|\w+ -->\|{text}\| \w+)"
    assert [line for line in picture.splitlines()[1:] if not re.fullmatch(allowed, line)] == []
    for line in graphviz(story).splitlines()[3:-1]:
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) == 2


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed here")
def test_graphviz_draws_the_picture():
    for story in (STORY, STORY | {"versions": [version("c", HOSTILE)], "edges": []}):
        drawn = subprocess.run(
            ["dot", "-Tsvg"], input=graphviz(story), capture_output=True, text=True, check=True, timeout=30
        )
        assert "<svg" in drawn.stdout
