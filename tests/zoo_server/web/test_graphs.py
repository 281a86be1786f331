"""Graphs are drawn in columns: a box stands right of all that it waits for."""

from zoo_server.web.graphs import BOX_HEIGHT, BOX_WIDTH, GAP_X, GAP_Y, MAX_BOXES, Node, draw


def nodes(*keys: str) -> list[Node]:
    return [Node(key, f"step-{key}", "toy.train", "waiting") for key in keys]


def test_a_box_stands_right_of_what_it_waits_for() -> None:
    drawing = draw(nodes("a", "b", "c", "d"), [("a", "c", "input"), ("c", "d", "input"), ("a", "d", "gate")])
    assert drawing is not None
    places = {box.key: (box.x // (BOX_WIDTH + GAP_X), box.y // (BOX_HEIGHT + GAP_Y)) for box in drawing.boxes}
    assert places == {"a": (0, 0), "b": (0, 1), "c": (1, 0), "d": (2, 0)}
    assert (drawing.width, drawing.height) == (3 * BOX_WIDTH + 2 * GAP_X, 2 * BOX_HEIGHT + GAP_Y)
    assert [line.kind for line in drawing.lines] == ["input", "input", "gate"]
    assert drawing.lines[0].path.startswith(f"M{BOX_WIDTH} {BOX_HEIGHT // 2}C")


def test_long_names_are_cut_and_large_graphs_are_not_drawn() -> None:
    drawing = draw(nodes("x" * 60), [])
    assert drawing is not None
    assert drawing.boxes[0].title.endswith("…")
    assert draw(nodes(*map(str, range(MAX_BOXES + 1))), []) is None
    assert draw([], []) is None
