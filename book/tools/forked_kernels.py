"""Let papermill have its kernels forked by `kernel_server.py`, where that runs.

What cannot be forked is started in the ordinary way, and a sentence says why.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner
from kernel_server import SOCKET, Order


class Forked:
    """A kernel that is no child of this process, with what `LocalProvisioner` asks of a Popen."""

    stdin = stdout = stderr = None

    def __init__(self, server: socket.socket, pid: int) -> None:
        self.server, self.pid = server, pid
        self.ended = os.pidfd_open(pid)  # can be read when the kernel has ended

    def poll(self) -> int | None:
        """0 if it has ended, however."""
        return 0 if select.select([self.ended], [], [], 0)[0] else None

    def wait(self) -> int:
        """Wait until it has ended, and let the server forget it."""
        select.select([self.ended], [], [])
        os.close(self.ended)
        self.server.close()
        return 0

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.ended, number)


class ForkProvisioner(LocalProvisioner):
    """Asks for a fork where there is a server, and starts a process where there is none."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        """As that of `LocalProvisioner`. A server that cannot fork is no error."""
        if SOCKET not in os.environ:
            return await super().launch_kernel(cmd, **options)
        self.cwd = options.get("cwd") or os.getcwd()
        try:
            self.process = ask({"command": cmd, "env": options["env"], "folder": str(self.cwd)})
        except OSError as error:
            print(f"An ordinary kernel is started, as none was forked: {error}", file=sys.stderr)
            return await super().launch_kernel(cmd, **options)
        self.pid = self.pgid = self.process.pid
        return self.connection_info


def ask(order: Order) -> Forked:
    """The kernel that the server forks. Raises OSError if it does not."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.connect(os.environ[SOCKET])
    socket.send_fds(server, [json.dumps(order).encode()], [1, 2])  # where it is to print
    answer = server.recv(10_000).decode()
    if not answer.isdecimal():
        raise OSError(answer or "the server ended")
    return Forked(server, int(answer))


def let_kernels_be_forked() -> None:
    """From now on, papermill asks the server for its kernels, if there is one."""
    name = "forked"
    factory = KernelProvisionerFactory.instance()
    entry = EntryPoint(name, f"{__name__}:ForkProvisioner", factory.GROUP_NAME)
    factory.provisioners[name] = entry
    factory.default_provisioner_name = name
