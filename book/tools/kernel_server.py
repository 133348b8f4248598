"""Run a command whose notebooks get forked kernels, so that each need not import all anew.

    python book/tools/kernel_server.py make -j2 _build/executed/01_introduction.ipynb ...

Every kernel is a copy of this process, which imports what chapters import while the command begins,
and ends with it: no make has kernels with an older library. A fork copies no threads, so nothing is
computed here.

Who wants a kernel (`forked_kernels.py`) connects to `SOCKET`, sends the kernel's command,
environment and folder, and gets its number. When the connection ends, so does the kernel.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any

SOCKET, THREADS = "OOD_LIB_KERNELS", "OMP_NUM_THREADS"
LAUNCHED = [sys.executable, "-m", "ipykernel_launcher"]
MODULES = (
    *("captum.attr", "ipykernel.kernelapp", "pycocotools.coco", "seaborn", "torchvision"),
    "torch._dynamo",  # which the first optimizer of a process asks for
    *("sklearn.ensemble", "sklearn.feature_selection", "sklearn.linear_model", "sklearn.neighbors"),
    *("ood_lib.detection", "ood_lib.exercises", "ood_lib.notebook", "ood_lib.score"),
    *("ood_lib.figures.slider", "ood_lib.metrics.evaluate", "ood_lib.studies"),
)
"""What these import in turn is most of what chapters need."""
Order = dict[str, Any]  # "command", "env", "folder": a kernel's


class Server:
    """Forks kernels while a command runs."""

    def __init__(self) -> None:
        self.kernels: dict[socket.socket, int] = {}  # by connection the kernel's number
        self.parent = os.pidfd_open(os.getppid())
        self.folder = tempfile.mkdtemp()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(f"{self.folder}/kernels")
        self.listener.listen()

    def start(self, command: list[str]) -> None:
        """Start the command, with the streams and the jobserver that this process lets go then."""
        env = os.environ | {SOCKET: f"{self.folder}/kernels"}
        self.command = subprocess.Popen(command, env=env, close_fds=False)
        self.command_ended = os.pidfd_open(self.command.pid)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):  # that which read the folder
                if os.get_inheritable(number):  # nothing that Python opens is
                    os.dup2(nothing, number)

    def serve(self) -> Order | None:
        """Until the command or this process's parent ends. In each forked kernel it returns, too:
        there, what was ordered."""
        while True:
            ends = [self.command_ended, self.parent]
            ready = select.select([*ends, self.listener, *self.kernels], [], [])[0]
            if ready[0] in ends:
                return None
            for one in ready:
                if one in self.kernels:
                    end(self.kernels.pop(one))
                elif order := self.fork(self.listener.accept()[0]):
                    return order

    def fork(self, connection: socket.socket) -> Order | None:
        """Fork a kernel, or answer why not. Returns what was ordered in the kernel, else None."""
        try:
            message, streams, *_ = socket.recv_fds(connection, 1 << 20, 2)
            order = json.loads(message)
            if order["command"][:3] != LAUNCHED:
                raise ValueError(f"{' '.join(order['command'][:3])} is not {' '.join(LAUNCHED)}")
            if order["env"].get(THREADS) != os.environ.get(THREADS):  # read as libraries load
                raise ValueError(f"{THREADS}={order['env'].get(THREADS)} is not the server's")
            import_all()
            kernel = os.fork()
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"[:5000]
        else:
            if kernel == 0:
                for each in (self.listener, connection, *self.kernels):
                    each.close()
                return order | {"streams": streams}
            self.kernels[connection] = kernel
            answer = str(kernel)
            for stream in streams:
                os.close(stream)
        with contextlib.suppress(OSError):  # nobody waits any more
            connection.send(answer.encode())
        return None

    def finish(self) -> int:
        """End whatever still runs. Returns the command's exit status."""
        self.listener.close()
        self.command.terminate()
        for kernel in self.kernels.values():
            end(kernel)
        shutil.rmtree(self.folder)
        status = self.command.wait()
        return status if status >= 0 else 128 - status


def import_all() -> None:
    """Import what chapters do."""
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # PyArrow has one otherwise
    for name in MODULES:
        importlib.import_module(name)


def end(kernel: int) -> None:
    """Kill a kernel, with what it started, unless it ended by itself."""
    if os.waitpid(kernel, os.WNOHANG) == (0, 0):
        for kill in (os.killpg, os.kill):  # it may have no group yet
            with contextlib.suppress(ProcessLookupError):
                kill(kernel, signal.SIGKILL)
        os.waitpid(kernel, 0)


def become_kernel(order: Order) -> None:
    """What the command would do in a process of its own."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for place, stream in enumerate(order["streams"], start=1):
        os.dup2(stream, place)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["folder"])
    sys.path[0] = ""  # in place of this file's folder; the launcher takes it away
    ends_with = f"--IPKernelApp.parent_handle={os.getppid()}"
    sys.argv = [*order["command"][2:], ends_with]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def main() -> None:
    """Serve a command, or run it alone where that is impossible."""
    command = sys.argv[1:]
    try:
        server = Server()
    except (AttributeError, OSError) as error:  # not Linux, or no place for a socket
        print(f"Each notebook imports all anew, as kernels cannot be forked: {error}")
        sys.stdout.flush()
        os.execvp(command[0], command)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    order = None
    try:
        server.start(command)
        with contextlib.suppress(Exception):  # who asks for a kernel is told
            import_all()
        order = server.serve()
    except (KeyboardInterrupt, SystemExit):
        pass  # was asked to end
    if order is None:
        sys.exit(server.finish())
    become_kernel(order)


if __name__ == "__main__":
    main()
