from __future__ import annotations

import dataclasses
import sys
from typing import Any

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.sources.base import get_source, resolve_root, source_names


def test_a_source_is_a_module_of_the_package_and_helpers_are_not():
    names = source_names()
    assert {"kermany", "synthetic"} <= set(names)
    assert not {"base", "phantoms", "_files", "_pool"} & set(names)


@pytest.mark.parametrize("name", source_names())
def test_every_source_gives_itself_by_name(name):
    assert get_source(name).name == name


def test_an_unknown_source_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match=r"source 'kermani' is not known; did you mean 'kermany'\?"):
        get_source("kermani")


def test_a_folder_given_comes_before_the_environment(tmp_path, kermany_spec, monkeypatch):
    given, other = tmp_path / "given", tmp_path / "other"
    given.mkdir()
    other.mkdir()
    monkeypatch.setenv("CXR_KERMANY_ROOT", str(other))
    assert resolve_root(kermany_spec, str(given)) == given
    assert resolve_root(kermany_spec, None) == other
    assert resolve_root(kermany_spec, "") == other  # an empty field of the trigger form


def test_a_relative_folder_becomes_absolute(tmp_path, kermany_spec, monkeypatch):
    (tmp_path / "xrays").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_root(kermany_spec, "xrays") == tmp_path / "xrays"


def test_a_missing_folder_says_how_far_its_path_exists(tmp_path, kermany_spec):
    with pytest.raises(DataDefect, match=f"nothing; the path exists as far as {tmp_path}$"):
        resolve_root(kermany_spec, str(tmp_path / "no" / "such"))


def test_a_missing_folder_from_the_environment_names_the_variable(tmp_path, kermany_spec, monkeypatch):
    monkeypatch.setenv("CXR_KERMANY_ROOT", str(tmp_path / "none"))
    with pytest.raises(DataDefect, match=r"\(\$CXR_KERMANY_ROOT\)"):
        resolve_root(kermany_spec, None)


def test_a_file_is_not_a_folder(tmp_path, kermany_spec):
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(DataDefect, match="expected a folder, found a file"):
        resolve_root(kermany_spec, str(tmp_path / "archive.zip"))


def test_without_any_folder_the_ways_to_give_one_are_named(kermany_spec, monkeypatch):
    monkeypatch.delenv("CXR_KERMANY_ROOT", raising=False)
    with pytest.raises(ConfigurationError, match=r"--data DIR\), or set CXR_KERMANY_ROOT"):
        resolve_root(kermany_spec, None)
    with pytest.raises(ConfigurationError, match=r"--data DIR\)$"):
        resolve_root(dataclasses.replace(kermany_spec, root_env=None), None)


def test_looking_up_a_source_imports_no_other(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("cxr_tasks.sources.synthetic")]:
        monkeypatch.delitem(sys.modules, name)
    get_source("kermany")
    assert "cxr_tasks.sources.synthetic" not in sys.modules


@pytest.fixture
def readme_source() -> Any:
    """``SOURCE`` of the module that their README shows under "A new source"."""
    section = (
        (PROJECT_ROOT / "cxr_tasks" / "sources" / "README.md")
        .read_text(encoding="utf-8")
        .partition("## A new source\n")[2]
    )
    module: dict[str, Any] = {}
    exec(section.partition("```python\n")[2].partition("```")[0], module)
    return module["SOURCE"]


LOCAL = DatasetSpec(name="mine", source="local", vocabulary="pneumonia")


def test_the_source_in_the_readme_reads_a_folder(readme_source, tmp_path):
    (tmp_path / "labels.csv").write_text("file,patient,pneumonia\na/1.png,p1,positive\na/2.png,p2,uncertain\n")
    assert (readme_source.name, readme_source.own_root(LOCAL)) == ("local", None)
    scan = readme_source.scan(tmp_path, LOCAL)
    assert (scan.root, scan.refusals) == (tmp_path, ())
    assert [(one.image_id, one.patient_id, one.study_id, one.states) for one in scan.records] == [
        ("a/1.png", "p1", "a/1.png", {"pneumonia": LabelState.POSITIVE}),
        ("a/2.png", "p2", "a/2.png", {"pneumonia": LabelState.UNCERTAIN}),
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("file,patient,pneumonia\n1.png,p1,yes\n", "line 2: label 'yes' is not known; known: positive, negative, unc"),
        ("file,patient,pneumonia\n1.png,p1,positive\n1.png,p1,negative\n", "line 3: file '1.png' stands on line 2"),
        ("file,patient\n1.png,p1\n", "line 1: expected a column 'pneumonia'"),
    ],
)
def test_the_source_in_the_readme_names_file_and_line_of_a_fault(readme_source, tmp_path, table, told):
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(DataDefect) as caught:
        readme_source.scan(tmp_path, LOCAL)
    assert str(caught.value).startswith(f"{tmp_path / 'labels.csv'}, {told}")
