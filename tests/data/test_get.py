"""Fetching data sets, from a server that breaks off, lies about sizes and asks to wait."""

import datetime
import email.utils
import hashlib
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import ask_addresses
import numpy as np
import pytest
import yaml
from filelock import FileLock
from layouts import bird, write_cityscapes, write_coco, write_lost_and_found
from PIL import Image

from ood_lib.data import DATASETS, coco_images, download, open_dataset, sources, unpack
from ood_lib.data.__main__ import main
from ood_lib.data.coco_images import get_images, image_names
from ood_lib.data.doctor import examine
from ood_lib.data.download import LONGEST_WAIT, TRIES, NotFetchedError, retrieve
from ood_lib.data.get import get, plan

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
BODY = np.random.default_rng(1).bytes(300_000)


@dataclass
class File:
    """What the server has under a path, and how it behaves, one request after the other."""

    body: bytes = BODY
    etag: str | None = '"1"'
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)  # where it hangs up; whole pieces are kept
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # instead of the file
    length: int | None = None  # what it says of its size, if that is a lie
    asked: list[dict[str, str]] = field(default_factory=list)  # headers of the requests


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(is_head=True)

    def do_GET(self) -> None:
        self.answer()

    def answer(self, is_head: bool = False) -> None:
        file = self.server.files.get(self.path)
        if file is None:
            return self.begin(404, {"Content-Length": "0"})
        if not is_head:
            file.asked.append(dict(self.headers))
        if file.answers:
            status, headers = file.answers.pop(0) if len(file.answers) > 1 else file.answers[0]
            if status != 200:
                return self.begin(status, {"Content-Length": "0"} | headers)
        begin, size = 0, len(file.body)
        same = self.headers.get("If-Range") in (None, file.etag)
        headers = {"ETag": file.etag} if file.etag else {}
        if "Range" in self.headers and file.ranges and same:
            begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if begin >= size:
                return self.begin(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
        headers["Content-Length"] = str((file.length or size) - begin)
        self.begin(206 if begin else 200, headers)
        if is_head:
            return None
        end = file.breaks.pop(0) if file.breaks else size
        self.wfile.write(file.body[begin:end])
        self.close_connection = end < size or file.length is not None
        return None

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Site:
    """The server's address and its files."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.files: dict[str, File] = server.files

    def put(self, path: str, body: bytes = BODY, **behaviour: object) -> str:
        self.files[path] = File(body, **behaviour)
        return self.url + path


@pytest.fixture
def site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.files = True, {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Site(server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """How long was waited, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(download.time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def write_sources(tmp_path, monkeypatch) -> Iterator[object]:
    """Take the place of sources.yml."""

    def write(**listed: object) -> None:
        path = tmp_path / "sources.yml"
        path.write_text(yaml.safe_dump(listed))
        monkeypatch.setattr(sources, "FILE", path)
        sources.sources.cache_clear()

    yield write
    monkeypatch.undo()
    sources.sources.cache_clear()


def anything(path: Path) -> None:
    """Every file is of the right kind."""


def sha(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def packed(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


def packed_folder(folder: Path) -> bytes:
    return packed({
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    })  # fmt: skip


def source(name: str, to: str, *urls: str, body: bytes | None = None, **more: object) -> dict:
    addresses = [{"url": u, "seen": None, "told_by": "tests", "doubt": None} for u in urls]
    known = {"size": body and len(body), "about": None, "hash": body and sha(body)}
    archive = {"name": name, "to": to, "addresses": addresses} | known | more
    page = {"page": "https://data.example/page", "licence": "none"}
    return page | {"archives": [archive]}


# ---- one file ----


def test_what_breaks_off_is_gone_on_with(site, tmp_path, waits):
    url = site.put("/a", breaks=[98_304, 262_144])
    assert retrieve([url], tmp_path / "a.zip", sha(BODY), anything, len(BODY)) == url
    assert (tmp_path / "a.zip").read_bytes() == BODY and names_in(tmp_path) == ["a.zip"]
    asked = site.files["/a"].asked
    assert [request.get("Range") for request in asked] == [None, "bytes=98304-", "bytes=262144-"]
    assert asked[1]["If-Range"] == '"1"' and asked[0]["User-Agent"].startswith("ood_lib/")
    assert waits == [1, 1]  # whatever brings something new is no failure


def test_a_later_call_goes_on_where_an_earlier_one_ended(site, tmp_path, waits):
    url = site.put("/a", breaks=[98_304] * 9)
    with pytest.raises(NotFetchedError, match=rf"{url}: .*; asked {TRIES} times"):
        retrieve([url], tmp_path / "a.zip", sha(BODY), anything)
    assert names_in(tmp_path) == ["a.zip.part", "a.zip.part.tag"]
    assert (tmp_path / "a.zip.part").read_bytes() == BODY[:98_304]
    site.files["/a"] = File()
    retrieve([url], tmp_path / "a.zip", sha(BODY), anything)
    assert [request["Range"] for request in site.files["/a"].asked] == ["bytes=98304-"]
    assert (tmp_path / "a.zip").read_bytes() == BODY


@pytest.mark.parametrize("changes", [{"ranges": False}, {"etag": None}, {"etag": 'W/"1"'}], ids=str)
def test_a_server_that_cannot_begin_in_the_middle_begins_anew(changes, site, tmp_path, waits):
    url = site.put("/a", breaks=[98_304], **changes)
    retrieve([url], tmp_path / "a.zip", None, anything)
    assert (tmp_path / "a.zip").read_bytes() == BODY and names_in(tmp_path) == ["a.zip"]


def test_parts_of_two_states_of_a_file_are_never_mixed(site, tmp_path, waits):
    url = site.put("/a", breaks=[98_304] * 9)
    with pytest.raises(NotFetchedError):
        retrieve([url], tmp_path / "a.zip", None, anything)
    for other in (BODY[::-1], BODY[:50_000]):  # also one that is shorter than what is there
        site.put("/a", other, etag='"2"')
        retrieve([url], tmp_path / "a.zip", None, anything)
        assert (tmp_path / "a.zip").read_bytes() == other
        (tmp_path / "a.zip").rename(tmp_path / "a.zip.part")
        (tmp_path / "a.zip.part.tag").write_text('"2"')


def test_a_whole_part_is_only_renamed(site, tmp_path):
    url = site.put("/a")
    for size, requests_made in ((len(BODY), 0), (None, 1)):
        (tmp_path / "a.zip.part").write_bytes(BODY)
        (tmp_path / "a.zip.part.tag").write_text('"1"')
        retrieve([url], tmp_path / "a.zip", sha(BODY), anything, size)
        assert len(site.files["/a"].asked) == requests_made
        (tmp_path / "a.zip").unlink()


def test_a_size_that_is_not_the_published_one_ends_it_at_once(site, tmp_path, waits):
    url = site.put("/a", length=200_000)
    with pytest.raises(NotFetchedError, match="has 200,000 bytes, expected 300,000"):
        retrieve([url], tmp_path / "a.zip", None, anything, len(BODY))
    assert names_in(tmp_path) == [] and waits == []


def test_a_size_too_large_ends_after_some_tries(site, tmp_path, waits):
    url = site.put("/a", length=400_000)
    with pytest.raises(NotFetchedError, match=f"asked {TRIES} times|another kind"):
        retrieve([url], tmp_path / "a.zip", sha(BODY[:-1]), anything)
    assert not (tmp_path / "a.zip").exists()


def test_a_size_too_small_is_found_by_the_checksum(site, tmp_path):
    url = site.put("/a", length=200_000)
    with pytest.raises(NotFetchedError, match=f"{url}: .*hash.* does not match"):
        retrieve([url], tmp_path / "a.zip", sha(BODY), anything)
    assert names_in(tmp_path) == []


def test_another_checksum_leaves_nothing(site, tmp_path):
    url = site.put("/a", BODY[::-1])
    with pytest.raises(NotFetchedError, match="does not match the known hash"):
        retrieve([url], tmp_path / "a.zip", sha(BODY), anything, len(BODY))
    assert names_in(tmp_path) == []


def test_the_next_address_is_asked(site, tmp_path):
    gone, url = f"{site.url}/gone", site.put("/a")
    assert retrieve([gone, url], tmp_path / "a.zip", sha(BODY), anything) == url
    with pytest.raises(NotFetchedError) as caught:
        retrieve([gone, f"{gone}2"], tmp_path / "b.zip", None, anything)
    assert str(caught.value) == f"{gone}: 404 Not Found\n{gone}2: 404 Not Found"


@pytest.mark.parametrize("status", [429, 503])
def test_waits_as_long_as_it_is_asked_to(status, site, tmp_path, waits):
    later = email.utils.formatdate(time.time() + 50, usegmt=True)
    asked = [{"Retry-After": "7"}, {"Retry-After": later}, {"Retry-After": "99999"}, {}]
    url = site.put("/a", answers=[*((status, headers) for headers in asked), (200, {})])
    retrieve([url], tmp_path / "a.zip", sha(BODY), anything)
    assert waits[0] == 7 and waits[1] == pytest.approx(50, abs=3)
    assert waits[2:] == [LONGEST_WAIT, 2**4]


def test_who_is_always_asked_to_wait_is_told_so(site, tmp_path, waits):
    url = site.put("/a", answers=[(429, {"Retry-After": "3"})])
    with pytest.raises(NotFetchedError, match=f"{url}: 429 Too Many Requests; asked {TRIES} times"):
        retrieve([url], tmp_path / "a.zip", None, anything)
    assert waits == [3] * (TRIES - 1) and len(site.files["/a"].asked) == TRIES


def test_a_server_that_is_not_there(tmp_path, waits):
    with pytest.raises(NotFetchedError, match="http://127.0.0.1:9/a: ConnectionError; asked"):
        retrieve(["http://127.0.0.1:9/a"], tmp_path / "a.zip", None, anything)
    assert waits == [2, 4, 8, 16]


# ---- archives ----


@pytest.mark.parametrize("before", ["", "deep/er/"])
def test_unpacks_what_lies_at_the_name_or_all(before, tmp_path):
    archive, files = tmp_path / "a.zip", {"train/x/1.png": b"1", "train/2.png": b"2"}
    others = {"README": b"", "__MACOSX/gtCoarse/._1.png": b"", "gtCoarse/empty/": b""}
    inside = {f"{before}gtCoarse/{name}": content for name, content in files.items()}
    archive.write_bytes(packed(inside | others))
    unpack.unpack(archive, tmp_path / "data" / "gtCoarse")
    assert (tmp_path / "data/gtCoarse/train/x/1.png").read_bytes() == b"1"
    assert names_in(tmp_path / "data") == [
        *("gtCoarse", "gtCoarse/train", "gtCoarse/train/2.png"),
        *("gtCoarse/train/x", "gtCoarse/train/x/1.png"),
    ]
    archive.write_bytes(packed(files))
    unpack.unpack(archive, tmp_path / "flat")
    assert (tmp_path / "flat/train/2.png").read_bytes() == b"2"
    unpack.unpack(archive, tmp_path / "2.png")  # a single file
    assert (tmp_path / "2.png").read_bytes() == b"2"


@pytest.mark.parametrize("bad", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil"])
def test_a_member_that_would_leave_the_folder_stops_it(bad, tmp_path):
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "a.zip"
    archive.write_bytes(packed({"good": b"1", bad: b"2"}))
    with pytest.raises(NotFetchedError, match="would lie outside of the data"):
        unpack.unpack(archive, tmp_path / "in" / "data")
    assert names_in(tmp_path) == ["in", "in/a.zip"]


def test_broken_or_interrupted_unpacking_leaves_nothing(tmp_path, monkeypatch):
    archive, target = tmp_path / "a.zip", tmp_path / "data"
    whole = packed({"a": b"1" * 99, "b": b"2" * 99})
    archive.write_bytes(whole.replace(b"2" * 99, b"3" * 99))  # of another checksum
    with pytest.raises(NotFetchedError, match=f"{archive} is broken .*CRC"):
        unpack.unpack(archive, target)
    assert names_in(tmp_path) == ["a.zip"]
    archive.write_bytes(packed({}))
    with pytest.raises(NotFetchedError, match="holds no file"):
        unpack.unpack(archive, target)
    archive.write_bytes(whole)
    copied = []

    def copy(*args: object) -> None:
        copied.append(args)
        if len(copied) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unpack.shutil, "copyfileobj", copy)
        unpack.unpack(archive, target)
    assert names_in(tmp_path) == ["a.zip"]
    (tmp_path / ".0123abcd-data").mkdir()  # as of a call that was killed
    unpack.unpack(archive, target)
    assert names_in(tmp_path) == ["a.zip", "data", "data/a", "data/b"]


def test_no_room_for_what_is_in_the_archive(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(packed({"1": b"1" * 99}))
    monkeypatch.setattr(unpack, "free_space", lambda place: 98)
    with pytest.raises(NotFetchedError, match="has no room for 99 bytes"):
        unpack.unpack(tmp_path / "a.zip", tmp_path / "data")
    assert names_in(tmp_path) == ["a.zip"]


# ---- the command ----


@pytest.fixture
def lost_and_found(site, tmp_path, write_sources) -> Path:
    """The root to be; the site has LostAndFound."""
    folder = write_lost_and_found(tmp_path / "published", "test")
    listed = {"page": "https://data.example/page", "licence": "none", "archives": []}
    for name in ("gtCoarse", "leftImg8bit"):
        body = packed_folder(folder / name)
        body = packed({f"{name}/{f.filename}": zipfile.ZipFile(io.BytesIO(body)).read(f)
                       for f in zipfile.ZipFile(io.BytesIO(body)).infolist()})  # fmt: skip
        url = site.put(f"/{name}.zip", body)
        one = source(f"{name}.zip", f"lost_and_found/{name}", url, body=body)
        listed["archives"] += one["archives"]
    write_sources(lost_and_found=listed)
    return tmp_path / "data"


def test_what_was_got_can_be_opened(lost_and_found, site, capsys):
    arguments = ["get", "lost_and_found", "--root", str(lost_and_found)]
    assert main(arguments) == 0
    assert len(open_dataset("lost_and_found", lost_and_found / "lost_and_found", "test")) == 4
    assert sorted(p.name for p in (lost_and_found / "lost_and_found").iterdir()) == [
        *("gtCoarse", "leftImg8bit"),
    ]
    assert main(arguments) == 0  # and again: nothing is asked for
    assert [len(file.asked) for file in site.files.values()] == [1, 1]
    assert "  yes " in capsys.readouterr().out


def test_a_dry_run_tells_and_does_nothing(lost_and_found, site, capsys):
    assert main(["get", "lost_and_found", "--root", str(lost_and_found), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert not lost_and_found.exists()
    assert all(file.asked == [] for file in site.files.values())
    size = len(site.files["/gtCoarse.zip"].body)
    line = next(line for line in out.splitlines() if "gtCoarse.zip" in line).split()
    there = ["gtCoarse.zip", "lost_and_found/gtCoarse", f"{size:,}", "bytes", "no"]
    assert line == [*there, f"{site.url}/gtCoarse.zip", "not", "certain"]
    room = 2 * sum(len(file.body) for file in site.files.values())
    assert f"Needed with what is unpacked: {room:,} bytes; free: " in out
    assert "Licence of lost_and_found: none." in out


def test_a_size_that_is_not_listed_is_asked_for(site, tmp_path, write_sources, waits):
    url = site.put("/a.zip")
    write_sources(a=source("a.zip", "a", url), b=source("b.zip", "b", f"{site.url}/b"))
    (tmp_path / "a.zip.part").write_bytes(b"12345")
    known, unknown = plan(["a", "b"], tmp_path)
    assert (known.size, known.there, known.room) == (300_000, "5 bytes", 599_995)
    assert (unknown.size, unknown.there, unknown.room) == (None, "no", 0)


def test_too_little_room_is_told_before_anything_is_asked_for(
    lost_and_found, site, capsys, monkeypatch
):
    monkeypatch.setattr("ood_lib.data.get.free_space", lambda place: 10)
    assert main(["get", "lost_and_found", "--root", str(lost_and_found)]) == 1
    assert f"{lost_and_found} has too little room" in capsys.readouterr().err
    assert not lost_and_found.exists() and site.files["/gtCoarse.zip"].asked == []


def test_what_cannot_be_had_does_not_keep_the_rest_away(lost_and_found, site, capsys):
    body = site.files.pop("/gtCoarse.zip").body
    assert main(["get", "lost_and_found", "--root", str(lost_and_found)]) == 1
    archive = lost_and_found / "lost_and_found" / "gtCoarse.zip"
    assert capsys.readouterr().err.endswith(
        f"\n{site.url}/gtCoarse.zip: 404 Not Found\nGet gtCoarse.zip ({len(body):,} bytes) from "
        f"https://data.example/page, put it there: {archive}, and call this again. It will be "
        "checked and unpacked.\n"
    )
    assert (lost_and_found / "lost_and_found" / "leftImg8bit" / "test").is_dir()
    archive.write_bytes(body)
    assert main(["get", "lost_and_found", "--root", str(lost_and_found)]) == 0
    assert not archive.exists()


def test_a_page_in_the_place_of_an_archive(site, tmp_path, write_sources, capsys):
    url = site.put("/a.zip", b"<html>Please log in</html>")
    write_sources(a=source("a.zip", "a", url))
    assert main(["get", "a", "--root", str(tmp_path / "data")]) == 1
    assert "no whole zip archive, it begins with b'<html>Please" in capsys.readouterr().err
    assert names_in(tmp_path / "data") in ([], [".get.lock"])


def test_two_calls_at_once(lost_and_found, capsys):
    lost_and_found.mkdir()
    with FileLock(lost_and_found / ".get.lock"):
        assert main(["get", "lost_and_found", "--root", str(lost_and_found)]) == 1
    assert f"Another call works in {lost_and_found}" in capsys.readouterr().err


def test_an_interruption_is_no_traceback(lost_and_found, capsys, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ood_lib.data.get.retrieve", interrupt)
    assert main(["get", "lost_and_found", "--root", str(lost_and_found)]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_wrong_usage(capsys):
    for arguments in (["get", "--root", "."], ["get", "nothing", "--root", "."], ["get", "coco"]):
        with pytest.raises(SystemExit):
            main(arguments)
    assert "lost_and_found" in capsys.readouterr().err


def test_what_needs_an_account_is_unpacked_from_where_it_was_put(tmp_path, write_sources, capsys):
    published = write_cityscapes(tmp_path / "published", "val", 2)
    bodies = {name: packed_folder(published) for name in ("gtFine", "leftImg8bit")}
    listed = source("", "", body=b"")
    listed["archives"] = [
        source(f"{name}_trainvaltest.zip", f"cityscapes/{name}", body=body)["archives"][0]
        for name, body in bodies.items()
    ]
    write_sources(cityscapes=listed)
    root = tmp_path / "data"
    assert main(["get", "cityscapes", "--root", str(root)]) == 1
    told = capsys.readouterr().err
    for name, body in bodies.items():
        size = f"{len(body):,} bytes"
        archive = root / "cityscapes" / f"{name}_trainvaltest.zip"
        assert f"Get {archive.name} ({size}) from https://data.example/page, put it there: " in told
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(body if name == "gtFine" else body[:-1])
    assert main(["get", "cityscapes", "--root", str(root)]) == 1
    assert "leftImg8bit_trainvaltest.zip has another checksum" in capsys.readouterr().err
    archive.write_bytes(bodies["leftImg8bit"])
    assert main(["get", "cityscapes", "--root", str(root)]) == 0
    assert len(open_dataset("cityscapes", root / "cityscapes", "val")) == 2


# ---- COCO ----


@pytest.fixture
def coco(site, tmp_path, write_sources) -> tuple[Path, dict]:
    """The root to be, and what is listed; the site has four images, one of them with a person."""
    person = bird(2, 0, 0, 4, 4) | {"category_id": 1}
    published = write_coco(tmp_path / "published", [bird(1, 0, 0, 4, 4), person], [(20, 30)] * 4)
    annotations = published / "annotations" / "instances_train2017.json"
    members = {f"annotations/{name}": b"{}" for name in ("captions_train2017.json", "other.json")}
    body = packed(members | {f"annotations/{annotations.name}": annotations.read_bytes()})
    for image in (published / "train2017").iterdir():
        site.put(f"/train2017/{image.name}", image.read_bytes())
    url = site.put("/annotations_trainval2017.zip", body)
    to = f"coco/annotations/{annotations.name}"
    listed = source("annotations_trainval2017.zip", to, url, body=body)
    addresses = source("", "", f"{site.url}/none", f"{site.url}/train2017")["archives"][0]
    images = {"count": 3, "about": 3000, "to": "coco/train2017"}
    listed["images"] = images | {"addresses": addresses["addresses"]}
    write_sources(coco_proxy=listed)
    return tmp_path / "data", listed


def test_of_coco_only_what_the_proxy_reads(coco, site, monkeypatch):
    root, _ = coco
    assert image_names(root) is None
    assert plan(["coco_proxy"], root)[1].what == "3 images"
    get(["coco_proxy"], root)
    assert names_in(root / "coco") == [
        *("annotations", "annotations/instances_train2017.json", "train2017"),
        *(f"train2017/{number:012d}.jpg" for number in (1, 3, 4)),
    ]
    assert site.files["/train2017/000000000002.jpg"].asked == []
    assert len(open_dataset("coco_proxy", root / "coco")) == 3
    monkeypatch.setattr(DATASETS["coco_proxy"], "splits", {"train": 4})
    row = examine(root, [("coco_proxy", "train")]).iloc[0]  # all that it reads is there
    assert (row["images"], row["labels"], row["verdict"]) == (3, 4, "complete")
    (root / "coco/train2017/000000000003.jpg").unlink()
    row = plan(["coco_proxy"], root)[1]
    assert (row.what, row.there, row.room) == ("3 images", "2", 1000)
    get(["coco_proxy"], root)
    asked = [len(site.files[f"/train2017/{number:012d}.jpg"].asked) for number in (1, 2, 3, 4)]
    assert asked == [1, 0, 2, 1]


def test_images_go_where_the_others_are(coco):
    root, _ = coco
    (root / "coco/images/train2017").mkdir(parents=True)
    get(["coco_proxy"], root)
    assert not (root / "coco/train2017").exists()
    assert len(open_dataset("coco_proxy", root / "coco")) == 3


def test_what_is_no_picture_is_not_kept(coco, site, monkeypatch):
    root, _ = coco
    whole = site.files["/train2017/000000000003.jpg"].body
    site.put("/train2017/000000000003.jpg", whole[:100])
    with pytest.raises(NotFetchedError) as caught:
        get(["coco_proxy"], root)
    assert "000000000003.jpg gave another kind of file: " in str(caught.value)
    assert "Call this again for what is missing." in str(caught.value)
    assert names_in(root / "coco/train2017") == ["000000000001.jpg", "000000000004.jpg"]
    site.put("/train2017/000000000003.jpg", whole)
    get(["coco_proxy"], root)
    assert len(names_in(root / "coco/train2017")) == 3


def test_after_many_failures_the_rest_is_not_tried(coco, site, monkeypatch, waits):
    root, _ = coco
    names = [f"{number:012d}.jpg" for number in range(1, 500)]
    monkeypatch.setattr(coco_images, "image_names", lambda root: names)
    images = sources.sources()["coco_proxy"].images
    with pytest.raises(NotFetchedError, match=f"^{coco_images._MOST_FAILURES} images could not"):
        get_images(images, root)
    assert (root / "coco/train2017/000000000001.jpg").is_file()
    del site.files["/train2017/000000000004.jpg"]
    (root / "coco/train2017/000000000004.jpg").unlink(missing_ok=True)
    monkeypatch.setattr(coco_images, "image_names", lambda root: names[3:4])
    with pytest.raises(NotFetchedError, match="404"):  # no address has it
        get_images(images, root)


# ---- the list of addresses ----


def test_every_data_set_is_listed_as_its_class_has_it():
    sources.sources.cache_clear()
    listed = sources.sources()
    for name, dataset in DATASETS.items():
        assert listed[name].page.removesuffix("/downloads/") == dataset.page
        for archive in listed[name].archives:
            assert archive.to.split("/")[0] == dataset.folder
            assert archive.hash and archive.name.endswith(".zip")
    by_hand = [name for name, one in listed.items() if one.is_by_hand]
    assert by_hand == ["cityscapes", "cityscapes_best.pth"] == list(listed)[-2:]


def test_the_doctor_says_how_to_get_what_is_missing(tmp_path):
    problems = examine(tmp_path)["problem"].groupby(level=0).first().tolist()
    assert f"or by: python -m ood_lib.data get coco_proxy --root {tmp_path}" in problems[2]
    assert "It needs an account: gtFine_trainvaltest.zip (253 MB) and " in problems[0]
    assert "leftImg8bit_trainvaltest.zip (11.6 GB)" in problems[0]


def test_pictures_are_pictures(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg")
    coco_images._check_picture(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_text("<html>")
    with pytest.raises(OSError):
        coco_images._check_picture(tmp_path / "b.jpg")


def test_addresses_are_asked_and_the_day_is_noted(site, tmp_path, monkeypatch, capsys):
    listed = {
        "a": source("a.zip", "a", f"{site.url}/gone", site.put("/a.zip"), body=BODY),
        "b": source("b.zip", "b", body=BODY),  # by hand
    }
    images = source("", "", f"{site.url}/train2017")["archives"][0]["addresses"]
    listed["a"]["images"] = {"addresses": images}
    site.put(f"/train2017/{ask_addresses.ONE_IMAGE}")
    path = tmp_path / "sources.yml"
    path.write_text(yaml.safe_dump(listed, sort_keys=False))
    monkeypatch.setattr(ask_addresses, "FILE", path)
    before = path.read_text()
    assert ask_addresses.main([]) == 0 and path.read_text() == before
    answers = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert answers == ["NO", "yes", "yes"]
    assert ask_addresses.main(["--write"]) == 0
    seen = yaml.safe_load(path.read_text())["a"]
    today = datetime.date.today()
    assert [one["seen"] for one in seen["archives"][0]["addresses"]] == [None, today]
    assert [one["seen"] for one in seen["images"]["addresses"]] == [today]
    site.put("/a.zip", BODY[:-1])
    assert ask_addresses.main([]) == 1
    printed = capsys.readouterr()
    assert "299999, expected 300000" in printed.out
    assert printed.err == "No address has:\n  a: a.zip, https://data.example/page\n"


def test_the_day_finds_its_place_in_the_real_list():
    text = sources.FILE.read_text("utf-8")
    for listed in yaml.safe_load(text).values():
        for _, urls, _ in ask_addresses.files(listed):
            for url in urls:
                text = ask_addresses.with_day(text, url, datetime.date(2026, 1, 2))
    assert "seen: null\n" not in text and text.count("seen: 2026-01-02") == text.count("- url: ")
