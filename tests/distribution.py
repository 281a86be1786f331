"""A pytest plugin: how pytest-xdist shares the tests out, so that what a file starts is started once.

``--dist loadgroup`` would do, but pytest 9.2 made it ignore its groups (pytest-xdist issue 1386).  Here a file's tests
stay together, and so do all of ``tests/system``, which share one Zoo; those take longest and begin first.
"""

import pytest

SYSTEM = "tests/system/"


def group_of(nodeid: str) -> str:
    """The tests of one group run in one process, one after the other."""
    return SYSTEM if nodeid.startswith(SYSTEM) else nodeid.split("::", 1)[0]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest group first; else one process would be busy with it long after the others have ended."""
    items.sort(key=lambda item: group_of(item.nodeid) != SYSTEM)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Share out by group, in the order of collection, for ``--dist loadgroup``."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def _reschedule(self, node: object) -> None:
            # The successor of a process that died may be asked before it has collected; xdist would end with KeyError.
            if node in self.registered_collections:
                super()._reschedule(node)

    config.option.loadscopereorder = False
    return GroupScheduling(config, log)
