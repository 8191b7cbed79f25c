"""Of a folder of DICOM files, nothing that names a person, and not the key of the hashes, is left behind anywhere."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import logging
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.specs import DatasetSpec, PixelSpec, SplitSpec
from cxr_tasks.images.dicom import patient_hash
from cxr_tasks.installation.storage.paths import RunPaths, secrets_root
from cxr_tasks.validate.stage import validate_manifest
from tests.images.dicom.files import IDENTIFYING, dicom_file
from tests.ingest.conftest import noise_picture
from tests.ingest.folders import ingest, ingest_source, quarantined

N_USABLE = 24

#: Files that are not used; some have a name where a word of the standard belongs.
REFUSED = {
    "leg.dcm": ({"BodyPartExamined": "LEG"}, "wrong_body_part"),
    "named_part.dcm": ({"BodyPartExamined": "DOE JANE"}, "wrong_body_part"),
    "named_modality.dcm": ({"Modality": "DOE JANE"}, "wrong_modality"),
    "burnt_in.dcm": ({"BurnedInAnnotation": "YES"}, "burnt_in_annotation"),
    "nobody.dcm": ({"PatientID": None}, "unknown_patient"),
    "cut.dcm": ({"PixelData": b"\0" * 10}, "truncated"),
}
#: The same in a file that is used nevertheless: libraries like to show a value that breaks the standard.
ODD = {"ViewPosition": "DOE JANE", "PatientSex": "DOE JANE", "PatientAge": "19521103", "StudyDate": "20240229X"}


def scan_file(number: int, **elements: object) -> bytes:
    """A picture of patient ``number``; ids and UIDs are its own, and each begins as that of ``IDENTIFYING``."""
    own = {name: f"{IDENTIFYING[name]}.{number}" for name in ("PatientID", "StudyInstanceUID", "SOPInstanceUID")}
    pixels = np.asarray(noise_picture(number, width=80, height=80))
    with warnings.catch_warnings():  # pydicom's, of ``ODD``
        warnings.simplefilter("ignore", UserWarning)
        return dicom_file(pixels, **{**own, **elements})


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Usable files of as many patients, one of them twice, the refused ones, one that no row lists; a row without file.

    The table names files by their SOP instance.
    """
    root = tmp_path / "scans"
    root.mkdir()
    rows = ["sop_instance_uid,pneumonia,patient"]
    for number in range(N_USABLE):
        (root / f"{number:02d}.dcm").write_bytes(scan_file(number, **(ODD if number == 0 else {})))
        # The first half of the patients are named by the table, the others by their files.
        patient = f"{IDENTIFYING['PatientID']}.{number}" if number < N_USABLE // 2 else ""
        rows.append(f"{IDENTIFYING['SOPInstanceUID']}.{number},{number % 2},{patient}")
    for number, (name, (elements, _)) in enumerate(REFUSED.items(), start=100):
        (root / name).write_bytes(scan_file(number, **elements))
        rows.append(f"{IDENTIFYING['SOPInstanceUID']}.{number},0,")
    (root / "copy.dcm").write_bytes((root / "01.dcm").read_bytes())
    (root / "unlisted.dcm").write_bytes(scan_file(200))
    rows.append(f"{IDENTIFYING['SOPInstanceUID']}.999,0,")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def recipe() -> Recipe:
    options = {"absent_bound": 0.5}
    dataset = DatasetSpec(name="scans", source="dicom", vocabulary="pneumonia", quarantine_bound=0.5, options=options)
    return dataclasses.replace(
        load_recipe("synthetic_binary"),
        dataset=dataset,
        split=SplitSpec(salt="s", validation=0.25, test=0.25),
        pixels=PixelSpec(size_px=16),
    )


def left_behind(home: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file below ``home`` but for the secrets; tables as text, too."""
    for path in sorted(home.rglob("*")):
        if not path.is_file() or path.is_relative_to(secrets_root()):
            continue
        yield str(path), path.read_bytes()
        if path.suffix == ".parquet":
            yield str(path), pd.read_parquet(path).to_csv().encode()
        elif path.suffix == ".sqlite":
            with contextlib.closing(sqlite3.connect(path)) as ledger:
                yield str(path), repr(ledger.execute("SELECT * FROM files").fetchall()).encode()


def assert_nothing_identifies(home: Path, *told: str) -> None:
    """Neither a file nor one of the texts ``told`` holds a value of ``IDENTIFYING``, in any case, or the key."""
    key = (secrets_root() / "patient_key").read_text().strip()
    secret = bytes.fromhex(key)
    names = {*IDENTIFYING.values(), "Doe Jane"}
    forbidden = [
        *(one.encode().lower() for one in names),
        key.encode(),
        secret.lower(),
        base64.b64encode(secret).lower(),
    ]
    places = [*left_behind(home), *(("told", text.encode()) for text in told)]
    assert len(places) > 5
    found = [(place, one) for place, content in places for one in forbidden if one in content.lower()]
    assert found == []
    # What is looked for would be seen: the hash of a patient stands in the same files.
    assert any(patient_hash(f"{IDENTIFYING['PatientID']}.1").encode() in content for _, content in places)


def test_ingest_leaves_keyed_hashes_only(scans, recipe, cxr_home, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    ingested, table = ingest(recipe, scans, cxr_home)
    assert (ingested.n_images, table["patient_id"].nunique()) == (N_USABLE, N_USABLE)
    assert quarantined(ingested) == {
        **{name: reason for name, (_, reason) in REFUSED.items()},
        "copy.dcm": "found_twice",
        "unlisted.dcm": "no_label",
        f"labels.csv, line {N_USABLE + len(REFUSED) + 2}": "absent",
    }
    assert "files are in quarantine" in caplog.text
    assert_nothing_identifies(cxr_home, caplog.text, *capfd.readouterr())


def test_a_refused_folder_says_why_without_a_name(scans, recipe, cxr_home, caplog):
    caplog.set_level(logging.DEBUG)
    strict = dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, quarantine_bound=0.0))
    with pytest.raises(DataDefect, match="cannot be used") as caught:
        ingest(strict, scans, cxr_home)
    assert_nothing_identifies(cxr_home, caplog.text, str(caught.value))


@pytest.mark.tf
@pytest.mark.gx
def test_validate_and_prepare_leave_keyed_hashes_only(scans, recipe, cxr_home, caplog, capfd):
    from cxr_tasks.prepare.stage import prepare_dataset

    caplog.set_level(logging.DEBUG)
    paths = RunPaths.for_run("cxr_dataset_binary", "r1")
    validated = validate_manifest(ingest_source(recipe, str(scans), paths), recipe, paths)
    prepared = prepare_dataset(validated, recipe, paths)
    assert prepared.n_train + prepared.n_validation + prepared.n_test == N_USABLE
    assert Path(prepared.folder).is_relative_to(cxr_home)
    assert_nothing_identifies(cxr_home, caplog.text, *capfd.readouterr())
