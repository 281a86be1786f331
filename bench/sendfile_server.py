"""The baseline of downloads: a server that knows one file and sends it by the kernel's sendfile, and nothing else.

``python -m bench.sendfile_server FILE`` prints its port and serves until its standard input closes: no routes, no
rights, no database, no ranges.  What it reaches with curl is what loopback, page cache and disk allow here.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_HEAD_BYTES = 64 * 1024


def answer(connection: socket.socket, path: Path) -> None:
    """Read one request's head, send the whole file, close."""
    with connection, path.open("rb") as file, suppress(ConnectionError):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(4096)
            head += piece
            if not piece or len(head) > MAX_HEAD_BYTES:
                return
        size = os.fstat(file.fileno()).st_size
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
            + f"Content-Length: {size}\r\n\r\n".encode()
        )
        offset = 0
        while offset < size:
            offset += os.sendfile(connection.fileno(), file.fileno(), offset, size - offset)


def serve(listener: socket.socket, path: Path) -> None:
    """Answer each connection in a thread of its own."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # the listener was closed
        threading.Thread(target=answer, args=(connection, path), daemon=True).start()


@contextmanager
def bare_server(path: Path) -> Iterator[str]:
    """Run the server as a process of its own; the value is the file's URL."""
    command = [sys.executable, "-m", "bench.sendfile_server", str(path)]
    folder = Path(__file__).parents[1]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/file"
    finally:
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        process.wait(10)


def main() -> None:
    """Serve the file named on the command line."""
    path = Path(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=serve, args=(listener, path), daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
