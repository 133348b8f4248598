"""The cell that every notebook begins with, and the environment it is made for."""

import importlib.util
import sys
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from repository import PLACEHOLDER
from try_colab import COLAB, changes

from ood_lib.miniature import MANIFEST
from ood_lib.notebook import begin

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    """The notebook's code cells, in their order."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


class Session:
    """What the cell meets: modules that can be imported, and a pip that adds one, or fails to."""

    def __init__(self, *modules: str, pip_adds: str = "ood_lib") -> None:
        self.modules = set(modules)
        self.pip_adds = pip_adds
        self.commands: list[str] = []

    def system(self, command: str) -> None:
        """IPython's: what stands after ``!`` in a cell."""
        self.commands.append(command)
        if " install " in command:
            self.modules.add(self.pip_adds)

    def run_cell(
        self, monkeypatch: pytest.MonkeyPatch, repository: str = PLACEHOLDER
    ) -> dict[str, object]:
        """Run the installation cell with that address in it; gives the variables it leaves."""
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: name if name in self.modules else None
        )
        source = TransformerManager().transform_cell(
            code_cells(NOTEBOOKS[0])[0].source.replace(PLACEHOLDER, repository)
        )
        namespace = {"get_ipython": lambda: self}
        exec(source, namespace)
        return namespace


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_same_cells(path: Path) -> None:
    install, parameters, begins = code_cells(path)[:3]
    assert install.source == code_cells(NOTEBOOKS[0])[0].source
    assert PLACEHOLDER in install.source and len(install.source.splitlines()) <= 12
    assert install.metadata.tags == ["install", "remove-cell"]
    assert parameters.metadata.tags in (["parameters"], ["parameters", "hide-cell"])
    assert "begin(" in begins.source


def test_nothing_is_done_where_the_library_is_installed(monkeypatch, capsys) -> None:
    session = Session("ood_lib")
    session.run_cell(monkeypatch)
    assert session.commands == [] and capsys.readouterr().out == ""


def test_a_missing_library_is_installed_with_what_is_there_as_constraints(monkeypatch) -> None:
    session = Session("torch")
    namespace = session.run_cell(monkeypatch, "https://github.com/some/book@published")
    listed, install = (command.format(**namespace) for command in session.commands)
    assert listed == f'"{sys.executable}" -m pip list --format=freeze > installed.txt'
    assert install.startswith(
        f'"{sys.executable}" -m pip install --constraint installed.txt "git+https://github.com/'
    )
    assert '"git+https://github.com/some/book@published"' in install


@pytest.mark.parametrize(
    ("modules", "repository", "message"),
    [
        ([], "https://github.com/some/book", "PyTorch is missing"),
        (["torch"], PLACEHOLDER, "Write the address of the book's repository"),
    ],
)
def test_nothing_is_installed_without_pytorch_or_without_an_address(
    monkeypatch, modules, repository, message
) -> None:
    session = Session(*modules)
    with pytest.raises(AssertionError, match=message):
        session.run_cell(monkeypatch, repository)
    assert session.commands == []


def test_a_failed_installation_is_noticed_at_once(monkeypatch) -> None:
    with pytest.raises(AssertionError, match="could not be installed"):
        Session("torch", pip_adds="another").run_cell(monkeypatch, "https://github.com/some/book")


def test_what_the_cell_leaves_is_not_taken_for_a_parameter(monkeypatch, tmp_path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    namespace = Session("ood_lib").run_cell(monkeypatch)
    monkeypatch.undo()
    with plt.rc_context():
        begin(namespace, data_root=tmp_path)


def test_the_library_takes_the_versions_that_colab_brings() -> None:
    brought = {pin.name: next(iter(pin.specifier)).version for pin in map(Requirement, COLAB)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {needed.name: needed.specifier for needed in map(Requirement, project["dependencies"])}
    assert {"torch", "torchvision", "numpy"} <= needed.keys() & brought.keys()
    assert [
        name for name in needed.keys() & brought.keys() if brought[name] not in needed[name]
    ] == []


def test_a_changed_or_removed_package_is_named() -> None:
    before = {"numpy": "2.0.2", "torch": "2.9.0", "pandas": "2.2.2"}
    assert changes(before, before | {"captum": "0.9.0"}) == []
    assert changes(before, {"numpy": "2.4.6", "torch": "2.9.0"}) == [
        "numpy 2.0.2 -> 2.4.6",
        "pandas 2.2.2 -> None",
    ]
