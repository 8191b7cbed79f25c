"""Kept exports: found while every byte is as it was written and nothing they were made from has changed."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.errors import DataDefect, ReleaseRefused
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from serving.export import exports
from serving.served.contents import unless_on_disk
from serving.served.version_folders import publish, version_folder, versions_on_disk
from tests.house.imports import ROOT, file_graph

REGISTERED = RegisteredModel(model_name="cxr_binary", version=3, mlflow_run_id="a" * 32, alias="champion")


def keep(registered: RegisteredModel = REGISTERED, graph: str = "graph") -> exports.Export:
    with exports.kept_export(registered) as folder:
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text(graph)
        (folder / "variables" / "variables.index").write_text("index")
    return exports.prepared_export(registered)


def test_a_kept_export_is_found_and_knows_whether_it_passed(cxr_home):
    assert exports.find_export(REGISTERED) is None
    export = keep()
    assert export.saved_model == cxr_home / "exports" / "cxr_binary" / "3" / "3"
    assert export.passed() is None
    written = export.write_parity({"n_images": 13})
    assert exports.prepared_export(REGISTERED).passed() == written


def test_a_check_of_another_export_does_not_count(cxr_home):
    keep().write_parity({})
    assert keep(graph="another graph").passed() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "3" / "saved_model.pb").write_text("grapf"),
        lambda folder: (folder / "3" / "variables" / "variables.index").unlink(),
        lambda folder: (folder / "3" / "more").write_text(""),
        lambda folder: (folder / "export.json").write_text("{"),
        lambda folder: (folder / "export.json").unlink(),
    ],
)
def test_a_changed_export_is_none(cxr_home, change):
    change(keep().folder)
    assert exports.find_export(REGISTERED) is None
    with pytest.raises(DataDefect, match="release it again from the start"):
        exports.prepared_export(REGISTERED)


def test_an_export_of_another_registry_or_by_other_code_is_none(cxr_home, monkeypatch):
    keep()
    assert exports.find_export(dataclasses.replace(REGISTERED, mlflow_run_id="b" * 32)) is None
    monkeypatch.setattr(exports, "_CODE", (exports._CODE[0],))
    assert exports.find_export(REGISTERED) is None


def test_an_export_that_breaks_off_leaves_nothing(cxr_home):
    with pytest.raises(OSError, match="full"), exports.kept_export(REGISTERED) as folder:
        folder.mkdir()
        raise OSError("disk full")
    assert list((cxr_home / "exports" / "cxr_binary").iterdir()) == []


def test_a_version_on_disk_is_published_again_only_where_it_differs_and_is_not_loaded(cxr_home):
    export = keep()
    assert unless_on_disk(export, loaded=()) == export.saved_model
    publish(export.saved_model, "cxr_binary", 3)
    assert unless_on_disk(export, loaded=()) is None
    (version_folder("cxr_binary", 3) / "saved_model.pb").write_text("an older export")
    with pytest.raises(ReleaseRefused, match="another version 3 is loaded"):
        unless_on_disk(export, loaded=(3,))
    assert unless_on_disk(export, loaded=()) == export.saved_model
    assert versions_on_disk("cxr_binary") == []


def test_old_exports_go_and_those_that_serve_stay(cxr_home):
    for version in range(1, 8):
        keep(dataclasses.replace(REGISTERED, version=version))
    assert exports.prune_exports("cxr_binary", frozenset({1, 2}), newest=2) == [3, 4, 5]
    left = sorted(one.name for one in (cxr_home / "exports" / "cxr_binary").iterdir())
    assert left == ["1", "2", "6", "7"]
    assert exports.prune_exports("cxr_multilabel", frozenset()) == []


def test_in_a_new_registry_low_numbers_are_the_newest(cxr_home):
    """It would go before its release: numbers begin at 1 again, and those of the former registry are higher."""
    for version in (21, 22, 23, 1):
        keep(dataclasses.replace(REGISTERED, version=version))
    assert exports.prune_exports("cxr_binary", frozenset(), newest=2) == [21, 22]
    assert sorted(one.name for one in (cxr_home / "exports" / "cxr_binary").iterdir()) == ["1", "23"]


def test_every_module_that_the_graph_of_pixels_is_made_by_counts_as_its_code():
    """One that is left out can change, and an export made by it before is taken for one of today."""
    graph = file_graph()
    wanted, seen = {"serving/export/signature.py"}, set()
    while wanted:
        seen.add(file := wanted.pop())
        wanted |= {one for one in graph[file] if one.startswith("cxr_tasks/images/")} - seen
    assert len(seen) > 8  # or nothing was followed
    assert {ROOT / one for one in seen} <= set(exports._CODE)
