from __future__ import annotations

import pytest

from expectations.files import FOLDER, suite_texts, write_suites

pytestmark = pytest.mark.gx


def test_the_json_beside_the_code_is_what_the_code_builds():
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert stored == suite_texts(), "run: python -m expectations"


def test_written_anew_in_another_folder_the_files_are_equal(tmp_path):
    written = write_suites(tmp_path)
    assert [path.read_text() for path in written] == [(FOLDER / path.name).read_text() for path in written]
