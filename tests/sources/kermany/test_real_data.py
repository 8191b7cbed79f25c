"""Options, and the counts of real folders."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.sources.kermany.source import SOURCE


def test_options_and_other_vocabularies_are_refused(make_folder, kermany_spec):
    with pytest.raises(ConfigurationError, match="no options, found: seed"):
        SOURCE.scan(make_folder(), dataclasses.replace(kermany_spec, options={"seed": 1}))
    with pytest.raises(ConfigurationError, match="expected vocabulary 'pneumonia', found 'nih14'"):
        SOURCE.scan(make_folder(), dataclasses.replace(kermany_spec, vocabulary="nih14"))


@pytest.mark.data
def test_real_folder_gives_the_counts_of_its_readme(shared_data, kermany_spec):
    scan = SOURCE.scan(shared_data / "kermany", kermany_spec)
    counts = Counter((one.official_split, str(one.states["pneumonia"])) for one in scan.records)
    assert counts == {
        ("train", "negative"): 257,
        ("train", "positive"): 743,
        ("validation", "negative"): 26,
        ("validation", "positive"): 74,
        ("test", "negative"): 112,
        ("test", "positive"): 188,
    }
    assert scan.refusals == ()
    assert scan.notes == ()


@pytest.mark.data
def test_unchanged_originals_are_read_as_an_unsplit_pair(shared_data, tmp_path, kermany_spec):
    originals = sorted((shared_data / "raw_samples" / "kermany").iterdir())
    for path in originals:
        folder = tmp_path / ("PNEUMONIA" if path.name.startswith("person") else "NORMAL")
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder)
    scan = SOURCE.scan(tmp_path, kermany_spec)
    assert Counter((one.official_split, one.sub_label) for one in scan.records) == {
        ("", ""): 3,
        ("", "bacteria"): 3,
        ("", "virus"): 2,
    }
    assert len({one.patient_id for one in scan.records}) == 7  # two of person67
    assert scan.refusals == ()
