from __future__ import annotations

from pathlib import Path

from cxr_tasks.installation.storage.paths import RunPaths, home, inside, relocated


def test_run_ids_become_folder_names_that_differ(cxr_home):
    first = RunPaths.for_run("cxr_train_binary", "manual__2026-11-23T10:00:00+00:00")
    second = RunPaths.for_run("cxr_train_binary", "manual__2026-11-23T10_00_00_00_00")
    assert first.root.parent == cxr_home / "runs"
    assert first.root != second.root
    assert not set(first.root.name) & set(":+/ ")


def test_run_ids_cannot_climb(cxr_home):
    root = RunPaths.for_run("dag", "../../../etc").root
    assert root.parent == home() / "runs"


def test_inside_follows_links(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").write_text("x")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    assert inside(tmp_path, tmp_path / "in" / "link")
    assert not inside(tmp_path / "in", tmp_path / "in" / "link")
    assert not inside(tmp_path / "in", tmp_path / "in" / ".." / "out")


def test_path_of_a_former_place_is_found_here(cxr_home: Path):
    here = cxr_home / "runs" / "x" / "evaluate"
    here.mkdir(parents=True)
    assert relocated(Path("/old disk/project/var/runs/x/evaluate")) == here
    assert relocated(Path("/data/runs/var/runs/x/evaluate")) == here  # a word of ours further up
    assert relocated(here) == here
    assert relocated(Path("/data/images/runs/none")) == Path("/data/images/runs/none")  # nothing of it here
    assert relocated(Path("/data/chest_xray")) == Path("/data/chest_xray")
