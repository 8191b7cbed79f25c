from __future__ import annotations

from cxr_tasks.contracts.paths import RunPaths, home, inside


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
