from __future__ import annotations

import json

import pytest

from cxr_tasks.contracts.labels import VOCABULARIES
from expectations.files import FOLDER, suite_texts, write_suites

pytestmark = pytest.mark.gx


@pytest.fixture(scope="module")
def texts():
    return suite_texts()


def test_the_json_beside_the_code_is_what_the_code_builds(texts):
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert stored == texts, "run: python -m expectations"


def test_written_anew_in_another_folder_the_files_are_equal(tmp_path):
    written = write_suites(tmp_path)
    assert [path.read_text() for path in written] == [(FOLDER / path.name).read_text() for path in written]


def test_every_vocabulary_has_suites_of_its_own(texts):
    for kind in ("manifest", "predictions"):
        assert {f"{kind}_{vocabulary}.json" for vocabulary in VOCABULARIES} <= set(texts)


def test_every_expectation_has_a_severity_says_what_it_is_for_and_is_there_once(texts):
    for name, text in texts.items():
        expectations = json.loads(text)["expectations"]
        assert {one["severity"] for one in expectations} <= {"critical", "warning"}, name
        assert all(one["notes"] for one in expectations), name
        told = [(one["type"], json.dumps(one["kwargs"], sort_keys=True)) for one in expectations]
        assert len(told) == len(set(told)), name


def test_change_since_the_last_version_never_stops_a_run(texts):
    for name in ("manifest_drift.json", "manifest_counts.json", "manifest_shortcuts.json"):
        assert {one["severity"] for one in json.loads(texts[name])["expectations"]} == {"warning"}
