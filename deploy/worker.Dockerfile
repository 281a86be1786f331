# syntax=docker/dockerfile:1
# A worker with one plugin; one image per plugin keeps each as small as its framework.
#   docker build -f deploy/worker.Dockerfile --build-arg PLUGIN=zoo_torch -t zoo-worker-torch .
FROM python:3.11.14-slim-bookworm AS python
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/zoo/bin:$PATH
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/zoo-worker --shell /usr/sbin/nologin zoo

FROM python AS build
ARG PLUGIN
# Optional requirements of the plugin, such as [gpu] of zoo_tensorrt.
ARG EXTRA=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/zoo
WORKDIR /source
COPY constraints.txt ./
COPY sdk sdk
COPY vision vision
COPY inspection inspection
COPY workers workers
COPY plugins/${PLUGIN} plugins/${PLUGIN}
RUN test -n "$PLUGIN" && pip install --constraint constraints.txt ./sdk ./workers ./vision ./inspection "./plugins/${PLUGIN}${EXTRA}"

FROM python AS worker
ARG PLUGIN
COPY --from=build /opt/zoo /opt/zoo
RUN install -d -o zoo -g zoo -m 700 /var/lib/zoo-worker
ENV HOME=/var/lib/zoo-worker ZOO_WORKER_STATE=/var/lib/zoo-worker WORKER_FAMILY=${PLUGIN#zoo_}
USER zoo
WORKDIR /var/lib/zoo-worker
VOLUME /var/lib/zoo-worker
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s CMD python -m celery -A zoo_worker.app inspect ping -t 10 -d "$WORKER_FAMILY@$(hostname)"
# Its queues and its name, from the plugin; `docker-compose.yml` says them outright.
CMD ["sh", "-c", "exec python -m celery -A zoo_worker.app worker -Q $WORKER_FAMILY.cpu -P threads -c 1 -n $WORKER_FAMILY@%h -l INFO"]
