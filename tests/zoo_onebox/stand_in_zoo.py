"""A one-machine Zoo of stand-ins: real PostgreSQL and Valkey where asked for, small programs for the rest.

Run as a program: ``python stand_in_zoo.py HOME PORT PART [PART ...] [--detach]``.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from zoo_onebox.detach import detach
from zoo_onebox.home import Home
from zoo_onebox.network import is_healthy, server_url
from zoo_onebox.parts import Options, Zoo
from zoo_onebox.postgres import prepare_postgres
from zoo_onebox.programs import HOME_MARK, Program, Step, Task
from zoo_onebox.serve import Announcement, serve
from zoo_onebox.valkey import valkey_program
from zoo_sdk.errors import ZooError

WEB = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
WORKER = """
import signal, subprocess, sys
job = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True, env={})
print("job", job.pid, flush=True)
print("stand-in ready.", flush=True)
signal.pause()
"""
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('stand-in ready.', flush=True); signal.pause()"
)
BROKEN = "import sys; sys.exit('the disk is made of cheese')"


class StandInZoo(Zoo):
    """The real parts that ``parts`` names, and stand-ins."""

    parts: tuple[str, ...] = ()

    def __init__(self, home: Home, options: Options) -> None:
        home.prepare_run()
        self.home, self.options = home, options
        self.url = server_url("127.0.0.1", options.port)
        self.mlflow_url = server_url("127.0.0.1", options.mlflow_port)
        self.sockets = home.socket_folder("sockets")
        self.postgres = prepare_postgres(home) if "postgres" in self.parts else None
        self.bootstrap = SimpleNamespace(admin_user="admin", admin_token="shown-once")  # type: ignore[assignment]

    def tasks(self) -> tuple[Task, ...]:
        tasks: list[Task] = []
        environment = {HOME_MARK: str(self.home.root)}
        if self.postgres is not None:
            tasks += self.postgres.tasks(environment)
        if "valkey" in self.parts:
            tasks.append(valkey_program(self.home, self.sockets, environment))
        stand_ins = {
            "web": Program(
                name="web", title="web server", stop_stage=30, environment=environment,
                command=(sys.executable, "-c", WEB, str(self.options.port)),
                ready=lambda _: is_healthy(f"{self.url}/healthz"),
            ),
            "worker": Program(
                name="worker", title="worker", stop_stage=50, environment=environment,
                secret_files={"ZOO_WORKER_TOKEN": self.home.generated_secret("worker-token")},
                inherited=("ZOO_DATABASE_URL",),
                command=(sys.executable, "-c", WORKER), ready=lambda output: "ready." in output,
            ),
            "stubborn": Program(
                name="stubborn", title="stubborn", stop_stage=50, stop_seconds=2, environment=environment,
                command=(sys.executable, "-c", STUBBORN), ready=lambda output: "ready." in output,
            ),
            "broken": Program(
                name="broken", title="broken part", command=(sys.executable, "-c", BROKEN), ready=lambda _: False
            ),
            "broken-step": Step(name="broken-step", title="broken step", command=(sys.executable, "-c", BROKEN)),
        }  # fmt: skip
        return (*tasks, *(stand_ins[name] for name in self.parts if name in stand_ins))


def main() -> None:
    home, port, *parts = sys.argv[1:]
    StandInZoo.parts = tuple(parts)
    console = Console(highlight=False, width=300)
    try:
        place = Home.create(Path(home))
        ready = detach().ready if "--detach" in parts else lambda: None
        serve(
            place, Options(port=int(port), mlflow_port=0), Announcement(console, as_json=False, ready=ready), StandInZoo
        )
    except ZooError as error:
        console.print(f"Error: {error}", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
