"""The client of Zoo: :class:`Client` for programs, the ``zoo`` command for people.

::

    from zoo_client import Client

    with Client("http://127.0.0.1:8080", token) as zoo:
        job = zoo.jobs.submit("torch.distill", inputs={"student": "a/b@1", "teacher": "a/c@2", "data": "a/ds@1"})
        job = zoo.jobs.wait(job["id"])
        zoo.pull(job["result"], "here")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_client.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    """Import :class:`Client` on first use: ``zoo --help`` must not pay for the HTTP library."""
    if name == "Client":
        from zoo_client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
