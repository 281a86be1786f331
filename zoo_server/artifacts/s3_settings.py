"""Which bucket of which S3 service; imports nothing of Django, because Django's settings are made with it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class S3Settings:
    """Where the bucket is.  ``public_url``: the service's address for clients, if theirs is another."""

    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint_url: str | None = None
    public_url: str | None = None
    region: str = "us-east-1"
