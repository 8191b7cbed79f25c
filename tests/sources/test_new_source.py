"""A new source is one module: the README's promise, with a source that is written here."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import cxr_tasks.sources
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.report.page.conclusion import cannot_do
from cxr_tasks.sources.base import OF_THE_OPERATOR, about_source, get_source, source_names
from cxr_tasks.sources.reading.patients import crowded

MODULE = '''
"""X-rays of the clinic next door.

They lie in one folder.
"""
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.base import About, ImageRecord, SourceScan


class NextDoor:
    name = "next_door"
    about = About(
        origin="The clinic next door, 2025.",
        terms="Ask the clinic.",
        limits=("The images are of adults of one clinic.", "Its machine is old."),
        patients="see that the names of the files begin with the patient",
    )

    def own_root(self, spec):
        return None

    def scan(self, root, spec):
        return SourceScan(root=root, records=[])


SOURCE = NextDoor()
'''


@pytest.fixture(params=["next_door.py", "next_door/source.py"])
def next_door(request, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / request.param
    path.parent.mkdir(exist_ok=True)
    path.write_text(MODULE)
    if path.parent != tmp_path:
        (path.parent / "__init__.py").touch()
    monkeypatch.setattr(cxr_tasks.sources, "__path__", [*cxr_tasks.sources.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield
    for name in [one for one in sys.modules if one.startswith("cxr_tasks.sources.next_door")]:
        del sys.modules[name]
    vars(cxr_tasks.sources).pop("next_door", None)


@pytest.mark.usefixtures("next_door")
def test_it_is_found_by_its_name(tmp_path):
    assert "next_door" in source_names()
    spec = DatasetSpec(name="mine", source="next_door", vocabulary="pneumonia", root_env=None)
    assert get_source("next_door").scan(tmp_path, spec).root == tmp_path


@pytest.mark.usefixtures("next_door")
def test_report_card_and_messages_say_its_words():
    import pandas as pd

    nothing_measured = Evaluation(
        confidence=0.95, findings=(), rows_sha256="", splits={}, mean={}, by_finding={}, serving={}
    )
    said = cannot_do(nothing_measured, "next_door")
    assert said[:2] == ["The images are of adults of one clinic.", "Its machine is old."]
    about = about_source("next_door")
    assert (about.origin, about.terms) == ("The clinic next door, 2025.", "Ask the clinic.")
    images = pd.DataFrame({"patient_id": ["1"] * 9 + ["2"], "split": ["train"] * 10})
    assert crowded(images, "next_door").endswith("see that the names of the files begin with the patient")


@pytest.mark.usefixtures("next_door")
def test_the_overview_of_its_dataset_says_what_its_module_says():
    from cxr_tasks.prepare.overview import source_note

    provenance = {"settings": {"dataset": {"source": "next_door"}}}
    assert source_note(provenance) == ["X-rays of the clinic next door.", "They lie in one folder."]


def test_of_a_source_that_is_gone_only_the_operator_can_tell():
    about = about_source("next_door")
    assert "next_door" in about.origin
    assert (about.terms, about.limits) == (OF_THE_OPERATOR.terms, OF_THE_OPERATOR.limits)
