"""Ask whether the addresses of the data sets still answer, and with the size that is written.

    python book/tools/ask_addresses.py [--write]

Reads `ood_lib/data/sources.yml` and needs none of the library. Ends with 1 if there is a file that
no address has. With `--write` the day goes into the file, as `seen` of all that answer.
"""

import argparse
import datetime
import re
import sys
from pathlib import Path
from typing import Any

import requests
import yaml

FILE = Path(__file__).resolve().parents[2] / "ood_lib" / "data" / "sources.yml"
AGENT = {"User-Agent": "ood_lib/addresses"}
ONE_IMAGE = "000000000009.jpg"
"""An image that COCO's train2017 has, asked for in the place of all."""


def ask(url: str, size: int | None) -> tuple[bool, str]:
    """Whether the address has such a file, and what it answers; only its headers are fetched."""
    try:
        with requests.head(url, headers=AGENT, allow_redirects=True, timeout=60) as answer:
            pass
        if answer.status_code in (403, 405, 501):  # some know GET only
            with requests.get(url, headers=AGENT, stream=True, timeout=60) as answer:
                pass
    except requests.RequestException as error:
        return False, type(error).__name__
    said = answer.headers.get("Content-Length", "")
    if not answer.ok or answer.headers.get("Content-Type", "").startswith("text/html"):
        return False, f"{answer.status_code} {answer.headers.get('Content-Type', '')}".strip()
    fits = size is None or not said.isdigit() or int(said) == size
    return fits, f"{said or 'size not said'}" + ("" if fits else f", expected {size}")


def files(source: dict[str, Any]) -> list[tuple[str, list[str], int | None]]:
    """Of one entry of the list: name, addresses and size of each file that has an address."""
    found = [
        (archive["name"], [one["url"] for one in archive["addresses"]], archive["size"])
        for archive in source["archives"]
    ]
    if images := source.get("images"):
        urls = [f"{one['url']}/{ONE_IMAGE}" for one in images["addresses"]]
        found.append((ONE_IMAGE, urls, None))
    return [file for file in found if file[1]]


def with_day(text: str, url: str, day: datetime.date) -> str:
    """The list, where this address was seen on that day."""
    line = rf"(url: {re.escape(url.removesuffix(f'/{ONE_IMAGE}'))}\n\s+seen: )\S+"
    return re.sub(line, rf"\g<1>{day}", text)


def main(argv: list[str] | None = None) -> int:
    """Ask all, print what they answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="note the day in the list")
    write = parser.parse_args(argv).write
    text = FILE.read_text("utf-8")
    lost = []
    for name, source in yaml.safe_load(text).items():
        for file, urls, size in files(source):
            answers = {url: ask(url, size) for url in urls}
            for url, (fits, said) in answers.items():
                print(f"{'yes' if fits else 'NO':4}{said:40}{url}", flush=True)
                if fits and write:
                    text = with_day(text, url, datetime.date.today())
            if not any(fits for fits, _ in answers.values()):
                lost.append(f"{name}: {file}, {source['page']}")
    if write:
        FILE.write_text(text, "utf-8")
    if lost:
        print("No address has:", *lost, sep="\n  ", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
