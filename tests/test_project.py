"""What must hold for the repository as a whole: its files, its requirements, its notebooks."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
TOP_LEVEL = [
    *(".binder/environment.yml", ".binder/postBuild", ".github/workflows/colab.yml"),
    *(
        ".ci/run",
        ".github/workflows/book.yml",
        ".gitignore",
        ".pre-commit-config.yaml",
        "CITATION.cff",
    ),
    *(
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "_config.yml",
        "_toc.yml",
        "book",
        "constraints.txt",
    ),
    *("environment.yml", "notebooks", "ood_lib", "pyproject.toml", "tests"),
]
CONDA_NAMES = {"pytorch": "torch", "pytorch-cpu": "torch", "ray-core": "ray"}
TEXT = {
    ".py",
    ".ipynb",
    ".md",
    ".yml",
    ".yaml",
    ".toml",
    ".txt",
    ".cff",
    ".bib",
    ".css",
    ".svg",
    "",
}
# Hosts of package registries: installers know them, and a mirror must be able to take their place.
REGISTRIES = re.compile(
    "|".join(["py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npm", "deb" + r"\.debian"])
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements() -> dict[str, SpecifierSet]:
    """Name and range of everything in pyproject.toml, extras included."""
    lines = PROJECT["dependencies"] + [
        line for extra in PROJECT["optional-dependencies"].values() for line in extra
    ]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, lines)}


def conda_requirements(file: str = "environment.yml") -> tuple[dict[str, SpecifierSet], list[str]]:
    """Name and range of everything in ``file``, under the names of pyproject.toml; and pip's other
    lines."""
    environment = yaml.safe_load((ROOT / file).read_text("utf-8"))
    lines = [
        line
        for line in environment["dependencies"]
        if isinstance(line, str) and not line.startswith("python=")
    ]
    of_pip = [
        line
        for part in environment["dependencies"]
        if isinstance(part, dict)
        for line in part["pip"]
    ]
    named = [Requirement(line) for line in [*lines, *of_pip] if not line.startswith("-")]
    ranges: dict[str, SpecifierSet] = {}
    for requirement in named:
        name = CONDA_NAMES.get(requirement.name, requirement.name)
        assert name not in ranges, f"{file} names {name} twice"
        ranges[name] = requirement.specifier
    return ranges, [line for line in of_pip if line.startswith("-")]


def constraints() -> dict[str, str]:
    """Exact version of everything in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    return dict(line.split("==") for line in lines)


def repository_files() -> list[Path]:
    """Files that are in git, or would be after ``git add``."""
    command = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def test_top_level_is_complete() -> None:
    assert [name for name in TOP_LEVEL if not (ROOT / name).exists()] == []


def test_conda_environment_asks_for_the_same() -> None:
    conda, others = conda_requirements()
    assert conda.pop("python") == SpecifierSet(PROJECT["requires-python"])
    del conda["pip"]
    assert conda == requirements()
    assert others == ["--editable ."]


def test_binder_asks_for_part_of_the_same() -> None:
    binder, others = conda_requirements(".binder/environment.yml")
    del binder["pip"]
    assert "torch" in binder and binder.items() <= requirements().items() and others == []
    assert os.access(ROOT / ".binder/postBuild", os.X_OK)


def test_constraints_are_exact_and_within_the_ranges() -> None:
    exact = constraints()
    assert all(re.fullmatch(r"[\w.+!-]+", version) for version in exact.values())
    outside = {
        name: exact.get(name)
        for name, allowed in requirements().items()
        if exact.get(name) not in allowed
    }
    assert outside == {}


def test_installed_versions_of_the_book_are_known_to_work() -> None:
    exact = constraints()
    assert (exact["jupyter-book"], exact["sphinx-book-theme"]) == ("1.0.4.post1", "1.2.0")
    assert exact["sphinx"].startswith("7.") and exact["pydata-sphinx-theme"] == "0.16.1"


def test_notebooks_are_committed_without_outputs() -> None:
    notebooks = sorted(map(str, ROOT.glob("notebooks/*.ipynb")))
    command = [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", *notebooks]
    verdict = subprocess.run(command, capture_output=True, text=True)
    assert notebooks and verdict.returncode == 0, (
        f"clear the outputs with nbstripout --keep-id\n{verdict.stdout}"
    )


def test_no_text_names_a_registry_host() -> None:
    texts = [
        path for path in repository_files() if path.suffix in TEXT and "mathjax" not in path.parts
    ]
    assert texts
    assert [
        path.name for path in texts if REGISTRIES.search(path.read_text("utf-8", errors="replace"))
    ] == []


def test_repository_stays_small() -> None:
    assert sum(path.stat().st_size for path in repository_files()) < 20e6
