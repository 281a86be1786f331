"""Django's name for this app; when it is ready, it listens to the sealing of versions."""

from django.apps import AppConfig


class ProvenanceConfig(AppConfig):
    """The app `provenance`."""

    name = "zoo_server.provenance"
    label = "provenance"

    def ready(self) -> None:
        """Have every version attested once it is sealed."""
        from zoo_server.catalog.services.listeners import on_seal
        from zoo_server.provenance.services.attesting import note_sealed

        on_seal(note_sealed)
