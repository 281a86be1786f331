"""Django's settings: wiring only; values come from :mod:`zoo_server.config.environment`."""

from typing import Any

from zoo_server.config.environment import read_environment

ENVIRONMENT = read_environment()

SECRET_KEY = ENVIRONMENT.secret_key
DEBUG = ENVIRONMENT.debug
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",  # the API page's scripts, served by us: no third party sees our users
    "zoo_server.audit",
    "zoo_server.accounts",
    "zoo_server.artifacts",
    "zoo_server.catalog",
    "zoo_server.jobs",
    "zoo_server.pipelines",
    "zoo_server.provenance",
    "zoo_server.webhooks",
    "zoo_server.web",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "zoo_server.accounts.sessions.SessionUse",
    "zoo_server.accounts.authentication.TooManyAttemptsPage",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "zoo_server.config.urls"
WSGI_APPLICATION = "zoo_server.config.wsgi.application"
APPEND_SLASH = False

DATABASES: dict[str, dict[str, Any]] = {"default": ENVIRONMENT.database}
DATABASES["default"]["OPTIONS"] |= {"pool": {"min_size": 1, "max_size": 24, "timeout": 20}}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ATOMIC_REQUESTS = False

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "zoo_server.accounts.authentication.SignInGuard",
    "django.contrib.auth.backends.ModelBackend",
    "zoo_server.accounts.authentication.TokenAsPassword",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign-in"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # straight from the packages: no collectstatic step, no folder to fill
WHITENOISE_AUTOREFRESH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
USE_I18N = False

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.public_url.startswith("https://")
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if ENVIRONMENT.public_url.startswith("https://") else 0
CSRF_TRUSTED_ORIGINS = [ENVIRONMENT.public_url]  # behind a proxy the server sees another scheme and host
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # redirecting to TLS is the work of the proxy that ends it
    "security.W005",  # what holds for the server's other subdomains is not ours to say
    "security.W021",  # nor whether browsers preload it
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 2**20
"""Largest JSON body; uploaded parts are streamed and have a limit of their own."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "zoo_server.accounts.authentication.BearerToken",
        "zoo_server.accounts.authentication.BrowserSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["zoo_server.rest.permissions.DeclaredScope"],
    "DEFAULT_PARSER_CLASSES": ["zoo_server.rest.parsing.BoundedJSONParser"],
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is a filter of ours
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "zoo_server.rest.problems.problem_response",
    "DEFAULT_PAGINATION_CLASS": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Zoo",
    "DESCRIPTION": "A self-hosted model zoo that makes its own models.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

ZOO_STORE_DIR = ENVIRONMENT.store_dir
ZOO_S3 = ENVIRONMENT.s3
ZOO_STORE_QUOTA_BYTES = ENVIRONMENT.store_quota_bytes
ZOO_X_ACCEL_PREFIX = ENVIRONMENT.x_accel_prefix
ZOO_DELETION_DAYS = ENVIRONMENT.deletion_days
ZOO_PUBLIC_URL = ENVIRONMENT.public_url
ZOO_PROXIES = ENVIRONMENT.proxies
ZOO_AUDIT_CHECKPOINTS = ENVIRONMENT.audit_checkpoints
ZOO_SIGNING_KEYS_DIR = ENVIRONMENT.signing_keys_dir
ZOO_MLFLOW_TRACKING_URI = ENVIRONMENT.mlflow_tracking_uri
ZOO_LEASE_SECONDS = ENVIRONMENT.lease_seconds
ZOO_CATALOGUES_DIR = ENVIRONMENT.catalogues_dir
ZOO_MIRROR_HOSTS = ENVIRONMENT.mirror_hosts
ZOO_MIRROR_NETWORKS = ENVIRONMENT.mirror_networks
ZOO_MIRROR_LIMIT_BYTES = ENVIRONMENT.mirror_limit_bytes
ZOO_WEBHOOK_NETWORKS = ENVIRONMENT.webhook_networks

CELERY_BROKER_URL = ENVIRONMENT.broker_url

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
