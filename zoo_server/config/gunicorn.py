"""Gunicorn's settings: threads, because requests wait on PostgreSQL and on the wire; downloads leave by sendfile.

``sendfile`` is deliberately not set here: gunicorn 26 uses it unless the setting has *any* value, True included.
"""

worker_class = "gthread"
workers = 2
threads = 8
timeout = 120
graceful_timeout = 20
keepalive = 15
max_requests = 0
accesslog = None
errorlog = "-"
control_socket_disable = True  # its path is the same for every gunicorn of a user; we stop by signals
