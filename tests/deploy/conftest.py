"""The one-machine room's fixtures serve here as well."""

from tests.zoo_onebox.conftest import home, start

__all__ = ["home", "start"]
