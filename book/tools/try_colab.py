"""Run notebooks in a fresh environment that looks like a Colab session, and the library without its
repository.

    python book/tools/try_colab.py [notebooks/01_introduction.ipynb ...] [--folder DIR] [--python
    python3.12]

Colab brings PyTorch and much else, in versions of its own, but not the book's library. Each
notebook is copied alone into an empty folder, with this repository's last commit in place of the
address on GitHub. It must install what is missing, run to its end, and leave every package that was
there as it was. Needs uv, and about 8 GB of disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from repository import PLACEHOLDER

ROOT = Path(__file__).resolve().parents[2]
# What Colab had near the end of 2025, as far as the library or the notebooks need it.
COLAB = (
    *(
        "pip==24.1.2",
        "ipykernel==6.17.1",
        "ipython==7.34.0",
        "ipywidgets==7.7.1",
        "jupyter-client==7.4.9",
    ),
    *(
        "torch==2.9.0",
        "torchvision==0.24.0",
        "numpy==2.0.2",
        "scipy==1.16.3",
        "pandas==2.2.2",
        "pyarrow==18.1.0",
    ),
    *(
        "matplotlib==3.10.0",
        "seaborn==0.13.2",
        "scikit-learn==1.6.1",
        "pycocotools==2.0.10",
        "accelerate==1.11.0",
    ),
    *(
        "safetensors==0.6.2",
        "joblib==1.5.2",
        "filelock==3.20.0",
        "tqdm==4.67.1",
        "pyyaml==6.0.3",
        "pillow==11.3.0",
    ),
    "nbclient==0.10.2",  # runs the notebook
)
ELSEWHERE = (  # what must work where only the library is installed
    "import ood_lib.data.__main__ as it; it.main(['--help'])",
    (
        "import ood_lib.studies as s, ood_lib.studies.__main__ as it; "
        "sys.exit(it.main(['show', str(s.book_records())]))"
    ),
)


def fresh_environment(folder: Path, python: str) -> Path:
    """Make an environment with what Colab brings in ``folder``; gives its interpreter."""
    subprocess.run(
        ["uv", "venv", "--quiet", "--clear", "--seed", "--python", python, folder], check=True
    )
    interpreter = folder / "bin" / "python"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", interpreter, *COLAB], check=True)
    return interpreter


def installed(interpreter: Path) -> dict[str, str]:
    """The version of every package that ``interpreter`` finds."""
    command = [interpreter, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {package["name"].lower(): package["version"] for package in listed}


def session(content: Path) -> dict[str, object]:
    """How a command runs in the session: in its folder, with nothing of this repository and nothing
    painted before."""
    environment = os.environ | {
        "OOD_LIB_CACHE": str(content / "cache"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    environment.pop("PYTHONPATH", None)
    return {"cwd": content, "env": environment, "check": True}


def run_in_session(notebook: Path, interpreter: Path, content: Path) -> None:
    """Run a copy of ``notebook`` alone in ``content``. Raises CalledProcessError where a cell
    fails."""
    text = notebook.read_text("utf-8")
    if PLACEHOLDER not in text:
        raise ValueError(f"{notebook} has no installation cell with the address {PLACEHOLDER}.")
    copy = content / notebook.name
    copy.write_text(text.replace(PLACEHOLDER, ROOT.as_uri()), "utf-8")
    subprocess.run(
        [interpreter, "-m", "jupyter", "execute", copy.name, "--inplace"], **session(content)
    )


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What was there in another version before, or is no longer there."""
    return [
        f"{name} {old} -> {after.get(name)}"
        for name, old in before.items()
        if after.get(name) != old
    ]


def main() -> None:
    """Try what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "notebooks", type=Path, nargs="*", default=[ROOT / "notebooks" / "01_introduction.ipynb"]
    )
    parser.add_argument(
        "--folder", type=Path, help="where to work; by default a folder that is removed at the end"
    )
    parser.add_argument("--python", default="3.12", help="the interpreter to use, as uv names it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        content = folder / "content"
        content.mkdir(parents=True, exist_ok=True)
        interpreter = fresh_environment(folder / "venv", options.python)
        before = installed(interpreter)
        for notebook in options.notebooks:
            start = time.perf_counter()
            run_in_session(notebook, interpreter, content)
            print(f"{notebook.name}: ran in {time.perf_counter() - start:.0f} s", flush=True)
        after = installed(interpreter)
        for code in ELSEWHERE:
            subprocess.run([interpreter, "-c", f"import sys; {code}"], **session(content))
    print(
        "installed:", ", ".join(f"{name} {after[name]}" for name in sorted(after.keys() - before))
    )
    if changed := changes(before, after):
        sys.exit(f"The notebooks changed what was installed: {'; '.join(changed)}")
    print(f"All {len(before)} packages that were there are as they were.")


if __name__ == "__main__":
    main()
