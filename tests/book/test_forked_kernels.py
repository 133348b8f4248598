"""Kernels are forked where that is possible, and nothing of them stays."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import nbformat
import pytest
import torch
from kernel_server import SOCKET
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "book/tools"
SERVER = """
import sys
sys.path.insert(0, {tools!r})
import kernel_server
kernel_server.MODULES = {modules!r}
{change}
kernel_server.main()
"""
LAYER = """
torch.manual_seed(0)
layer = torch.nn.Conv2d(3, 8, 3)
layer(torch.rand(2, 3, 64, 64)).square().mean().backward()
found = layer.weight.grad.double().sum().item()
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="kernels are forked on Linux")


def served(
    command: Sequence[str], modules: tuple[str, ...] = ("ipykernel.kernelapp",), change: str = ""
) -> list[str]:
    """The command that serves a command, with few imports, so that a test is short."""
    script = SERVER.format(tools=str(TOOLS), modules=modules, change=change)
    return [sys.executable, "-c", script, *command]


def executing(folder: Path, *cells: str) -> list[str]:
    """The command that executes these cells in a folder."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(
        cells=[
            new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
            *map(new_code_cell, cells),
        ],
        metadata={"kernelspec": kernel},
    )
    nbformat.write(notebook, folder / "a.ipynb")
    execute = str(TOOLS / "execute.py")
    return [sys.executable, execute, str(folder / "a.ipynb"), str(folder / "b.ipynb")]


def printed(folder: Path) -> list[str]:
    """What each cell printed, if it did."""
    cells = nbformat.read(folder / "b.ipynb", 4).cells
    texts = ["".join(output.text for output in cell.outputs) for cell in cells]
    return [text.strip() for text in texts if text]


def run(command: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, which a process that holds the pipes would put off."""
    (folder / "temporary").mkdir()
    env = os.environ | {"TMPDIR": str(folder / "temporary")} | env
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=300)
    assert not [*(folder / "temporary").glob("*/kernels")]
    return done


def is_running(pid: int) -> bool:
    """Zombies do not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@needs_fork
def test_a_kernel_is_forked_and_has_the_callers_environment_and_folder(tmp_path: Path) -> None:
    here = "import os, sys; print(os.getcwd(), os.environ['FLAVOUR'])"
    process = "print('imaplib' in sys.modules, os.getpid(), os.getppid())"
    execute = executing(tmp_path, here, process)
    caller = ["sh", "-c", 'mkdir -p x && cd x && FLAVOUR=caller "$@"', "sh", *execute]
    done = run(served(caller, ("ipykernel.kernelapp", "imaplib")), tmp_path, FLAVOUR="server")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    where, forked = printed(tmp_path)
    assert where == f"{tmp_path / 'x'} caller"
    is_imported, *pids = forked.split()
    assert is_imported == "True" and not any(is_running(int(pid)) for pid in pids)


@needs_fork
def test_a_copy_of_all_imports_computes_with_threads_what_others_do(tmp_path: Path) -> None:
    before = (
        "import os, sys\n"
        "print(len(os.listdir(f'/proc/{os.getppid()}/task')))\n"
        "print(*sorted(sys.modules))"
    )
    after = (
        "import numpy, torch\n"
        "print(numpy.ones((300, 300)).dot(numpy.ones(300)).sum())\n"
        f"{LAYER}\n"
        "print(found, torch.get_num_threads(), torch.cuda.is_initialized())"
    )
    serve = [sys.executable, str(TOOLS / "kernel_server.py"), *executing(tmp_path, before, after)]
    assert run(serve, tmp_path, OMP_NUM_THREADS="2", PYTHONPATH=str(ROOT)).returncode == 0
    (threads, modules), (total, computed) = (text.splitlines() for text in printed(tmp_path))
    assert threads == "1"
    needed = {name for path in (ROOT / "notebooks").glob("*.ipynb") for name in imports(path)}
    heavy = {name for name in needed if re.match("captum|pandas|pycocotools|scipy|sklearn", name)}
    assert heavy | {"ood_lib.notebook", "ood_lib.studies"} <= set(modules.split())
    torch.set_num_threads(2)
    here: dict[str, object] = {"torch": torch}
    exec(LAYER, here)
    assert (total, computed) == ("90000.0", f"{here['found']} 2 False")


@needs_fork
def test_a_cell_that_fails_fails_the_command_and_leaves_no_kernel(tmp_path: Path) -> None:
    note = "import os, pathlib; pathlib.Path('pid').write_text(str(os.getpid()))"
    done = run(served(executing(tmp_path, note, "1 / 0")), tmp_path)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert "ZeroDivisionError" in (tmp_path / "b.unfinished.ipynb").read_text("utf-8")
    assert not (tmp_path / "b.ipynb").exists()
    assert not is_running(int((tmp_path / "pid").read_text()))


@needs_fork
@pytest.mark.parametrize("ended", ["all by Ctrl-C", "server at once", "parent at once"])
def test_no_process_survives_its_make(tmp_path: Path, ended: str) -> None:
    note = "import os, pathlib; pathlib.Path('pid').write_text(f'{os.getpid()} {os.getppid()}')"
    execute = executing(tmp_path, note, "import time; time.sleep(600)")
    noting = ["sh", "-c", 'echo $$ >caller; exec "$@"', "sh", *execute]
    parent = ["sh", "-c", '"$@"; true', "sh", *served(noting)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background job ignores it
    make = subprocess.Popen(parent, cwd=tmp_path, start_new_session=True, preexec_fn=heard)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    kernel, server = map(int, (tmp_path / "pid").read_text().split())
    caller = int((tmp_path / "caller").read_text())
    if ended == "all by Ctrl-C":
        os.killpg(make.pid, signal.SIGINT)
    elif ended == "parent at once":
        make.kill()
    else:
        os.kill(server, signal.SIGKILL)
    until(lambda: not any(map(is_running, (kernel, server, caller))))
    make.wait(10)


def until(condition: Callable[[], object]) -> None:
    """Wait for something, at most a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@needs_fork
@pytest.mark.parametrize(
    ("threads", "module", "reason"),
    [
        ("1", "no_such_module", "ModuleNotFoundError: No module"),
        # Libraries that are there already would take more threads, or fewer, than asked for.
        ("3", "ipykernel.kernelapp", "ValueError: OMP_NUM_THREADS=3 is not the server's"),
    ],
)
def test_what_cannot_be_forked_is_an_ordinary_kernel(
    tmp_path: Path, threads: str, module: str, reason: str
) -> None:
    execute = executing(tmp_path, "import os; print(os.environ['OMP_NUM_THREADS'])")
    caller = ["env", f"OMP_NUM_THREADS={threads}", *execute]
    done = run(served(caller, (module,)), tmp_path, OMP_NUM_THREADS="1")
    assert done.returncode == 0 and printed(tmp_path) == [threads]
    assert f"An ordinary kernel is started, as none was forked: {reason}" in done.stderr


def test_where_nothing_can_be_forked_the_command_runs_alone(tmp_path: Path) -> None:
    execute = executing(tmp_path, f"import os; print({SOCKET!r} in os.environ)")
    done = run(served(execute, change="del kernel_server.os.pidfd_open"), tmp_path)
    assert done.returncode == 0 and printed(tmp_path) == ["False"]
    assert "kernels cannot be forked" in done.stdout


def imports(path: Path) -> set[str]:
    """The modules that a notebook's cells import."""
    sources = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return set(re.findall(r"^ *(?:from|import) ([\w.]+)", "\n".join(sources), re.MULTILINE))
