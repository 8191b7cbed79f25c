"""Labels and images that came back as a dataset, and a version calibrated anew on it by the stages of every version."""

from __future__ import annotations

import dataclasses
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.dataset import ValidatedStudies
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.feedback.labels import read_labels
from cxr_tasks.feedback.stage import Feedback, recalibration_of
from cxr_tasks.installation.patient_keys import KEY_BYTES
from cxr_tasks.installation.storage.files import reference_to
from cxr_tasks.installation.storage.paths import RunPaths, home, secrets_root
from cxr_tasks.installation.storage.private import keep_private_text
from cxr_tasks.labels.images import keep_images, kept_images
from cxr_tasks.labels.store import all_labels, keep_labels, labels_of_images
from cxr_tasks.sources.feedback import dealt
from tests.image_files import encoded
from tests.reproduce.test_stage import registered
from tests.train.conftest import two_classes

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]
#: A third of them are dealt to test, where the gate asks for 20 patients of each class.
N = 400
#: In train, validation and test of the dataset that version 1 was made of.
KNOWN = {"003": "train", "035": "validation", "045": "test"}
NOW = datetime(2026, 4, 1, tzinfo=UTC)


def pictures() -> tuple[list[bytes], np.ndarray]:
    """PNGs of 128 px of the two classes, three of four positive, and which are."""
    from PIL import Image

    images, labels = two_classes(2 * N, seed=5)
    positive = labels[:, 0] == 1
    chosen = np.sort(np.concatenate([np.flatnonzero(positive)[: 3 * N // 4], np.flatnonzero(~positive)[: N // 4]]))
    large = (np.kron(one[..., 0], np.ones((8, 8), np.uint8)) for one in images[chosen])
    return [encoded(Image.fromarray(one), "PNG") for one in large], positive[chosen]


def came_back(folder: Path) -> None:
    """Labels of the pictures, by file and patient, and the pictures of all but the last."""
    from cxr_tasks.feedback.known_splits import splits_of_version

    images, positive = pictures()
    patients = [*KNOWN, *(f"new {number // 2}" for number in range(len(images) - len(KNOWN)))]
    lines = []
    for number, (image, is_positive, patient) in enumerate(zip(images, positive, patients, strict=True)):
        (folder / f"{number}.png").write_bytes(image)
        lines.append(f"{number}.png,pneumonia,{'positive' if is_positive else 'negative'},A,2026-03-05,{patient}")
    table = folder / "labels.csv"
    table.write_text("\n".join(["file,finding,label,who,when,patient", *lines]) + "\n")
    version = RegisteredModel(model_name="cxr_binary", version=1, mlflow_run_id="", alias="champion")
    split_of = splits_of_version(version, folder / "work")
    assert keep_labels("cxr_binary", read_labels(table, ("pneumonia",), NOW, split_of)) == len(images)
    wanted = set(labels_of_images("cxr_binary")["image"])
    assert keep_images("cxr_binary", images[:-1], wanted) == len(images) - 1
    assert keep_images("cxr_binary", images[:-1], wanted) == 0  # kept once


def prepared_feedback(recipe):
    """The manifest of what came back, by ingest itself, and the dataset made of it."""
    import pandas as pd

    from cxr_tasks.ingest.stage import collect_parts, inspect_part, list_images
    from cxr_tasks.prepare.stage import prepare_dataset

    paths = RunPaths.for_run("cxr_dataset_binary", "feedback")
    plan = list_images(recipe, None, paths)
    parts = [inspect_part(recipe, plan, number, paths) for number in range(len(plan.parts))]
    ingested = collect_parts(recipe, plan, parts, paths)
    (paths.root / "profile.json").write_text("{}")
    studies = ValidatedStudies(
        dataset=ingested.dataset, root=ingested.root, manifest=ingested.manifest, validation=ingested.manifest,
        profile=reference_to(paths.root / "profile.json"), data_docs="", n_expectations=0, n_warnings=0,
    )  # fmt: skip
    return pd.read_parquet(ingested.manifest.uri), prepare_dataset(studies, recipe, paths)


def test_a_version_is_calibrated_anew_by_its_labels_and_passes_the_same_gate(
    cxr_home, prepare_tiny, tiny_recipe, tmp_path
):
    from cxr_tasks.evaluate.champion import champion_for_gate
    from cxr_tasks.evaluate.stage import evaluate_model
    from cxr_tasks.gate.stage import gate_candidate
    from cxr_tasks.register.stage import record_decision, register_candidate
    from cxr_tasks.registry import versions
    from cxr_tasks.registry.version_files import load_version
    from cxr_tasks.train.stage import start_training, train_one
    from cxr_tasks.train.winner import pick_winner

    # An installation draws its secret, and with it who is dealt to test.
    secrets_root().mkdir(parents=True)
    keep_private_text(secrets_root() / "patient_key", "5" * 2 * KEY_BYTES)
    tiny = dataclasses.replace(tiny_recipe, evaluate=EvaluateSpec(bootstrap_samples=100))
    registered(tiny, prepare_tiny(tiny), n_epochs=4)
    versions.set_alias("cxr_binary", "champion", 1)
    came_back(tmp_path)
    recipe = tiny.with_overrides(feedback=True, recalibrate=1, gate_floor=0.6)
    manifest, prepared = prepared_feedback(recipe)

    # Patients: known ones where they were, new ones by their key alone.
    labels = all_labels("cxr_binary")
    known = labels[labels["split"] != ""].set_index("patient_key")["split"].to_dict()
    assert sorted(known.values()) == sorted(KNOWN.values())
    split_of = manifest.set_index("patient_id")["split"].to_dict()
    assert len(manifest) == N - 1 and manifest["patient_id"].isin(set(labels["patient_key"])).all()
    assert split_of == {patient: known.get(patient) or dealt(patient) for patient in split_of}

    paths = RunPaths.for_run("cxr_train_binary", "recalibrated")
    plan = start_training(prepared, recipe, paths)
    trained = pick_winner(plan, [train_one(plan, 1, paths)], paths)
    assert (trained.epochs_run, trained.best_epoch) == (0, 0)
    evaluated = evaluate_model(trained, prepared, recipe, paths)
    decision = gate_candidate(evaluated, recipe, champion_for_gate(prepared, recipe, paths), paths)
    assert (decision.verdict, decision.champion_version) == ("PASS", 1), decision.reasons
    record_decision(decision, trained.mlflow_run_id)
    version = register_candidate(trained, evaluated, decision, prepared, recipe, paths)
    assert (version.version, version.alias) == (2, "challenger")

    first, second = (load_version("cxr_binary", number, tmp_path / str(number)) for number in (1, 2))
    for old, new in zip(first.keras_model().get_weights(), second.keras_model().get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert second.contract.decisions != first.contract.decisions
    assert second.contract.dataset_fingerprint == prepared.fingerprint
    report_and_reproduction_outlive_pruning(version)


def report_and_reproduction_outlive_pruning(version: RegisteredModel) -> None:
    """Two years later all that may go is gone, the runs' own folders with it; the version is written about and comes
    out again."""
    from cxr_tasks.prune.stage import prune
    from cxr_tasks.report.stage import report_on
    from cxr_tasks.reproduce.stage import reproduce_version

    removed = {one.kind for one in prune({}, do=True, now_s=time.time() + 2 * 365 * 86_400, is_clock_right=True).found}
    assert "runs" in removed  # of this test some do: the folder that the dataset was made in, for one
    shutil.rmtree(home() / "runs")  # a team may remove all of them: nothing that is kept lives there alone
    page = Path(report_on(version, RunPaths.for_run("cxr_report", "later")).page.uri).read_text()
    assert "the weights of models:/cxr_binary/1 as they are" in page
    assert reproduce_version("cxr_binary", 2)["outcome"] == "equal"


def test_a_version_of_other_pixels_is_not_calibrated_on_these(cxr_home, prepare_tiny, tiny_recipe):
    from cxr_tasks.contracts.specs import PixelSpec
    from cxr_tasks.train.stage import start_training, train_one

    recipe = dataclasses.replace(tiny_recipe, evaluate=EvaluateSpec(bootstrap_samples=100, min_positives=2))
    registered(recipe, prepare_tiny(recipe), n_epochs=1)
    cropped = dataclasses.replace(recipe, pixels=PixelSpec(size_px=16, fit="crop")).recalibrating(1)
    paths = RunPaths.for_run("cxr_train_binary", "cropped")
    plan = start_training(prepare_tiny(cropped), cropped, paths)
    with pytest.raises(ConfigurationError, match="expected a version of the pixels .*crop"):
        train_one(plan, 1, paths)


@pytest.mark.parametrize(
    ("findings", "n_images", "said"), [((), 10, "no finding ranks as promised"), (("x",), 0, "none kept")]
)
def test_without_need_or_images_nothing_is_proposed(findings, n_images, said):
    @dataclasses.dataclass(frozen=True)
    class Told(Feedback):
        calibration_only = findings

    told = Told(model_name="cxr_binary", version=1, n_new=0, findings=(), path="", n_images=n_images, recipe="r")
    with pytest.raises(ConfigurationError, match=said):
        recalibration_of(told)


def test_no_labelled_image_is_told_with_what_to_do(cxr_home, tiny_recipe):
    from cxr_tasks.ingest.stage import list_images

    recipe = tiny_recipe.with_overrides(feedback=True)
    (home() / "feedback_images" / "cxr_binary").mkdir(parents=True)
    with pytest.raises(DataDefect, match="cxr feedback LABELS.csv --images DIR"):
        list_images(recipe, None, RunPaths.for_run("cxr_dataset_binary", "1"))
    assert kept_images("cxr_binary") == {}
