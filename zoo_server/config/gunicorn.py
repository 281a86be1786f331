"""Gunicorn's settings: threads, because requests wait on PostgreSQL and on the wire; downloads leave by sendfile."""

worker_class = "gthread"
workers = 2
threads = 8
sendfile = True
timeout = 120
graceful_timeout = 20
keepalive = 15
max_requests = 0
accesslog = None
errorlog = "-"
