"""Chromium without a window, and a server on this machine for what it opens."""

import functools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class QuietServer(ThreadingHTTPServer):
    """Takes it calmly when the browser closes a page before everything has arrived."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: what does not arrive and should have is seen in the browser."""


def find_chromium() -> str:
    """The program that draws the pages. FileNotFoundError where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise FileNotFoundError("No Chromium was found; install it, or name it with --chromium.")
    return found


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve ``folder`` on the loopback interface; gives the address."""
    server = QuietServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
