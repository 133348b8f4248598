"""Ask a page something in Firefox as distributions ship it, which Playwright cannot drive.

The page is opened with one script more, which posts its answer to a server of our own.
"""

import json
import queue
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMES = ("firefox-esr", "firefox")
SCRIPT = """
<script>addEventListener("load", async () => {
  let answer;
  try { answer = await (%s)(); } catch (error) { answer = { error: String(error) }; }
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  const body = JSON.stringify({ answer, requests });
  fetch("http://127.0.0.1:%d", { method: "POST", mode: "no-cors", body });
});</script>"""


def ask_firefox(
    firefox: str, page: Path, function: str, seconds: float, address: str | None = None
) -> tuple[Any, list[str]]:
    """What ``function``, of JavaScript and asynchronous, gives on the page; and what was requested.

    ``address`` is where the page's folder is served; without it the file itself is opened.
    RuntimeError for an error there, TimeoutError if there is no answer in so many seconds.
    """
    answers: queue.Queue[dict] = queue.Queue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 the name is given
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asking = page.with_name(f"ask-{page.name}")
        script = SCRIPT % (function, server.server_port)
        asking.write_text(page.read_text("utf-8") + script, encoding="utf-8")
        try:
            place = f"{address}/{asking.name}" if address else asking.as_uri()
            found = _open(firefox, place, answers, seconds)
        finally:
            server.shutdown()
            asking.unlink()
    if isinstance(found["answer"], dict) and "error" in found["answer"]:
        raise RuntimeError(found["answer"]["error"])
    return found["answer"], found["requests"]


def _open(firefox: str, address: str, answers: queue.Queue, seconds: float) -> dict:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [firefox, "--headless", "--no-remote", "--profile", profile, address]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, **quiet)
        try:
            return answers.get(timeout=seconds)
        except queue.Empty as error:
            raise TimeoutError(f"{firefox} gave no answer in {seconds:g} s") from error
        finally:
            process.terminate()
            process.wait(timeout=30)
