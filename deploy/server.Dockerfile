# syntax=docker/dockerfile:1
# Two images: `server` (web, beat, chores: Zoo without any ML framework) and `mlflow` (the tracking server).
#   docker build -f deploy/server.Dockerfile --target server -t zoo-server .
FROM python:3.11.14-slim-bookworm AS python
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/zoo/bin:$PATH
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin zoo

FROM python AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/zoo
WORKDIR /source
COPY constraints.txt ./

FROM build AS build-server
COPY sdk sdk
COPY inspection inspection
COPY zoo_server zoo_server
COPY pyproject.toml manage.py ./
RUN pip install --constraint constraints.txt ./sdk ./inspection .

FROM build AS build-mlflow
RUN pip install --constraint constraints.txt mlflow psycopg2-binary

FROM python AS mlflow
COPY --from=build-mlflow /opt/zoo /opt/zoo
RUN install -d -o zoo -g zoo -m 700 /var/lib/mlflow
USER zoo
WORKDIR /var/lib/mlflow
VOLUME /var/lib/mlflow
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/health', timeout=5)"]
CMD ["python", "-m", "mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1"]

FROM python AS server
COPY --from=build-server /opt/zoo /opt/zoo
COPY catalogs /usr/share/zoo/catalogs
ENV ZOO_CATALOGS_DIR=/usr/share/zoo/catalogs
RUN install -d -o zoo -g zoo -m 700 /var/lib/zoo /var/lib/zoo/store
USER zoo
WORKDIR /var/lib/zoo
VOLUME /var/lib/zoo
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
CMD ["python", "-m", "gunicorn", "zoo_server.config.wsgi:application", "-c", "python:zoo_server.config.gunicorn", "--bind", "0.0.0.0:8080"]
