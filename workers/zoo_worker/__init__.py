"""Zoo's hands: a Celery worker that runs each attempt at a job in a child process of its own.

Kept empty of imports: the child process imports this package too, and must start fast.

- :mod:`zoo_worker.app`            the Celery application
- :mod:`zoo_worker.agent`          a message becomes a claimed attempt
- :mod:`zoo_worker.attempt`        inputs, child, outputs, report
- :mod:`zoo_worker.supervisor`     one child process: streams, limits, end
- :mod:`zoo_worker.child`          the child process itself
- :mod:`zoo_worker.lease`          renews the lease; says when to stop
- :mod:`zoo_worker.registry`       the registry's worker API
- :mod:`zoo_worker.cache`          inputs by digest, with a size limit
- :mod:`zoo_worker.journal`, :mod:`zoo_worker.mlflow_mirror`   what happened, written down and replayed to MLflow
"""

__version__ = "0.1.0"
