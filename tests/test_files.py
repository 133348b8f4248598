import os
from pathlib import Path

import pytest

from ood_lib.files import atomic_path, cache_folder, user_path
from ood_lib.models import load_checkpoint, save_checkpoint
from ood_lib.segments.table import segment_table
from ood_lib.settings import load_settings
from ood_lib.training import fine_tune


def test_file_appears_at_the_end_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "new" / "numbers.csv"
    for content in ("first", "second"):
        before = path.read_text() if path.exists() else None
        with atomic_path(path) as aside:
            assert aside.suffix == ".csv"
            aside.write_text(content)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == content
    assert os.listdir(path.parent) == ["numbers.csv"]


def test_failure_leaves_nothing_behind_and_the_old_file_untouched(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as aside:
        aside.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["numbers.csv"]


def test_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic_path(tmp_path / "folder") as aside:
        aside.mkdir()
        (aside / "a").write_text("a")
    assert os.listdir(tmp_path) == ["folder"]
    with pytest.raises(OSError), atomic_path(tmp_path / "folder") as aside:
        aside.mkdir()
        (aside / "b").write_text("b")
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == ["a"]


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OOD_LIB_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    assert cache_folder().is_dir()
    monkeypatch.delenv("OOD_LIB_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ood_lib"


@pytest.mark.parametrize("value", ["cache", "./cache", "~nobody-of-this-name/cache"])
def test_a_relative_cache_folder_is_refused(value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OOD_LIB_CACHE", value)
    with pytest.raises(
        ValueError, match=r"cache is another folder wherever .* Set OOD_LIB_CACHE to"
    ):
        cache_folder()
    assert not any(tmp_path.iterdir())


def test_a_cache_folder_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OOD_LIB_CACHE", "~/kept")
    assert cache_folder() == tmp_path / "kept"


def test_a_cache_folder_that_cannot_be_made_or_written_to(monkeypatch, tmp_path):
    monkeypatch.delenv("OOD_LIB_CACHE")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"file/.cache/ood_lib \(.*\). Set OOD_LIB_CACHE to .* write"):
        cache_folder()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda folder, mode: mode != os.W_OK)  # root may all
    with pytest.raises(OSError, match=r"ood_lib \(not writable\). Set OOD_LIB_CACHE to"):
        cache_folder()


def test_a_path_that_a_user_gave(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a.pth") == tmp_path / "a.pth"
    assert user_path(2025) == Path("2025")  # papermill's
    assert user_path("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")  # is looked for


def test_what_is_kept_in_the_home_is_found_again(
    monkeypatch, tmp_path, make_network, scenes, proxy, street
):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home / "kept", elsewhere):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(elsewhere)
    save_checkpoint(make_network(1), "~/kept/a.safetensors")
    load_checkpoint(make_network(), "~/kept/a.safetensors")
    few = {"epochs": 1, "proxy_fraction": 0, "progress": False}
    fine_tune(make_network(), scenes, proxy, checkpoint="~/kept", **few)
    for _ in range(2):
        segment_table(make_network(), street, 0.4, checkpoint="~/kept", progress=False)
    assert len(list((home / "kept").iterdir())) == 3
    assert not any(elsewhere.iterdir())
    with pytest.raises(FileNotFoundError, match="/home/none.pth"):
        load_checkpoint(make_network(), "~/none.pth")
    with pytest.raises(FileNotFoundError, match="'~nobody-of-this-name/data' is no folder"):
        load_settings(data_root="~nobody-of-this-name/data")
