"""Score maps in files: joined to a data set's frames, and as road-anomaly-benchmark reads them."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from ood_lib.data.folders import Frame, require_folder
from ood_lib.data.sample import SegmentationDataset
from ood_lib.files import atomic_path, user_path


def find_maps(folder: Path | str, dataset: SegmentationDataset) -> dict[str, Path]:
    """By frame's id its map, ``{id}.npy``, or ``{id}_score.npy`` as `ood_lib.score` writes it.

    ValueError names at once all that are missing, there twice, of no frame, or refused by
    `read_map`, which tries one at a time; FileNotFoundError if there is no folder.
    """
    folder = require_folder(user_path(folder))
    found = {name: [path for ending in ("", "_score")
                    if (path := folder / f"{name}{ending}.npy").is_file()] for name in dataset.ids}
    strange = set(folder.glob("[!.]*.npy")).difference(*found.values())
    faults = [f"{path.name}: there is no such frame" for path in sorted(strange)]
    for frame in dataset.frames:
        if (number := len(found[frame.id])) != 1:
            faults.append(f"{frame.id}: there are {number} maps, not 1")
        for path in found[frame.id]:
            try:
                read_map(path, frame)
            except (ValueError, OSError) as error:
                faults.append(f"{path.name}: {error}")
    if faults:
        about = f"The maps in {folder} do not fit the {len(dataset)} frames. Mend these"
        raise ValueError("\n  ".join([f"{about} {len(faults)}:", *faults]))
    return {name: path for name, (path,) in found.items()}


def read_map(path: Path, frame: Frame) -> np.ndarray:
    """The map (H, W) in a ``.npy``; ValueError for all but finite floats of the frame's size."""
    with Image.open(frame.label or frame.image) as image:  # reads no pixel
        size = image.size[::-1]
    with path.open("rb") as file:
        score = np.lib.format.read_array(file, allow_pickle=False)
    if score.dtype.kind != "f" or score.shape != size:
        raise ValueError(f"{score.dtype} {score.shape}, but the frame needs floats {size}")
    with np.errstate(over="ignore"):  # it becomes infinite
        bad = np.count_nonzero(~np.isfinite(score.astype(np.float32)))
    if bad:
        raise ValueError(f"{bad} scores are NaN, infinite or too large for a float32")
    return score


def export_maps(folder: Path | str, dataset: SegmentationDataset, out: Path | str,
                stored: str | None, method: str) -> list[Path]:
    """Write the maps of `find_maps` for road-anomaly-benchmark, DIR_OUTPUTS being ``out``.

    Each is the array "value" (H, W) of ``{out}/anomaly_p/{method}/{stored}/{frame}.hdf5``, float32
    or, if the map is, float16; {} in ``stored`` is the frame's split of LostAndFound. Gives the
    paths. ImportError without the extra ``export``; ValueError, too, for a method that cannot be a
    folder's name, and for ``stored`` None, of data that the benchmark does not have.
    """
    if not stored:
        raise ValueError(f"road-anomaly-benchmark has no {type(dataset).__name__}: choose others.")
    try:
        import h5py
    except ImportError as error:
        raise ImportError('Install what this needs: pip install "ood-lib[export]".') from error
    if not re.fullmatch(r"\w[\w.+-]*", method):  # the benchmark separates methods by commas
        raise ValueError(f"The method {method!r} must be of letters, digits and any of _ . + -")
    maps, written = find_maps(folder, dataset), []
    for frame in dataset.frames:
        place = user_path(out) / "anomaly_p" / method / stored.format(frame.image.parts[-3])
        written.append(place / f"{frame.id.removesuffix('_leftImg8bit')}.hdf5")
        score = read_map(maps[frame.id], frame)
        with atomic_path(written[-1]) as aside, h5py.File(aside, "w") as file:
            kind = "f2" if score.itemsize == 2 else "f4"
            file.create_dataset("value", data=score, dtype=kind, compression="gzip")
    return written
