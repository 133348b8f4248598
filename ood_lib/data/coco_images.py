"""COCO's images that the proxy reads, and only those, one by one."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import requests
from PIL import Image
from requests.adapters import HTTPAdapter
from tqdm.auto import tqdm

from ood_lib.data.coco_index import open_index
from ood_lib.data.coco_proxy import image_folder
from ood_lib.data.download import NotFetchedError, retrieve
from ood_lib.data.sources import Images, sources

THREADS = 8
"""How many images are fetched at once."""
_MOST_FAILURES = 20  # images, after which no other is tried


def get_images(images: Images, root: Path) -> None:
    """Fetch COCO's images that the proxy reads, a few at once. NotFetchedError if some are left."""
    folder = image_folder((root / images.to).parent, "train")
    missing = [name for name in image_names(root) or () if not (folder / name).is_file()]
    if not missing:
        return
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=THREADS))
    options = {"check": _check_picture, "session": session, "progress": False}
    urls = [f"{address.url}/{missing[0]}" for address in images.addresses]
    address = retrieve(urls, folder / missing[0], None, **options).rpartition("/")[0]  # it works
    failures, pool = [], ThreadPoolExecutor(THREADS)
    try:
        work = [
            pool.submit(retrieve, [f"{address}/{name}"], folder / name, None, **options)
            for name in missing[1:]
        ]
        for done in tqdm(as_completed(work), "COCO", len(work), unit="image"):
            failures += filter(None, [done.exception()])
            if len(failures) >= _MOST_FAILURES:
                break
    finally:
        pool.shutdown(cancel_futures=True)
    if failures:
        more = f"{len(failures)} images could not be fetched, or more; the first: {failures[0]}"
        raise NotFetchedError(f"{more}\nCall this again for what is missing.")


def image_names(root: Path) -> list[str] | None:
    """The images that `CocoProxy` reads: all without a class of Cityscapes. None: not known yet."""
    annotations = root / sources()["coco_proxy"].archives[0].to
    return list(open_index(annotations)["file_name"]) if annotations.is_file() else None


def _check_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
