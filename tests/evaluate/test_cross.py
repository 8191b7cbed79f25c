from __future__ import annotations

import dataclasses
import hashlib
import json
import logging

import numpy as np
import pandas as pd
import pytest
import yaml

from cxr_tasks.cli.main import main
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.datasets.content import content_of_splits, write_rows_of_content
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.evaluate.elsewhere.measure import evaluate_elsewhere
from cxr_tasks.evaluate.evaluation_file import read_evaluation_file
from cxr_tasks.evaluate.stage import ARTIFACT_FOLDER
from cxr_tasks.evaluate.table import read_predictions
from cxr_tasks.installation.storage.files import write_json
from tests.evaluate.conftest import build_predictions

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]
NIH = findings_of("nih14")


@pytest.fixture(scope="module")
def recipe(tiny):
    dataset = dataclasses.replace(tiny.recipe.dataset, name="elsewhere", vocabulary="nih14")
    return dataclasses.replace(tiny.recipe, name="elsewhere", model_name="cxr_multilabel", dataset=dataset)


@pytest.fixture(scope="module")
def contract(recipe):
    """Only pneumonia has decisions that tell the images apart; the other thirteen are not on this dataset."""
    return ServingContract(
        model_name="cxr_multilabel",
        pixels=recipe.pixels,
        decisions=tuple(FindingDecision(finding=one, a=0.7, b=-0.2, threshold=0.4) for one in NIH),
        dataset="elsewhere",
        dataset_fingerprint="e" * 64,
        recipe="elsewhere",
        recipe_sha256="0" * 64,
    )


@pytest.fixture(scope="module")
def model_path(tiny, tmp_path_factory):
    """The small network with its answer for pneumonia in pneumonia's place and noughts in the others'."""
    import keras

    from cxr_tasks.train.networks.saved import load_model

    one = load_model(tiny.home / "model.keras", size_px=32, n_findings=1)
    head = keras.layers.Dense(14, name="many")
    many = keras.Model(one.input, head(one.get_layer("head").output))
    kernel = np.zeros((1, 14))
    kernel[0, NIH.index("pneumonia")] = 1.0
    head.set_weights([kernel, np.zeros(14)])
    path = tmp_path_factory.mktemp("model") / "model.keras"
    many.save(path)
    return path


@pytest.fixture(scope="module")
def unseen(tiny):
    """What the model was trained on: none of the dataset's images, of another source."""
    content = content_of_splits(tiny.prepared, ["train"])
    digest = [hashlib.sha256(one.encode()).hexdigest() for one in content["file_sha256"]]
    return content.assign(
        source="other", file_sha256=digest, pixel_hash=[one[:32] for one in digest], perceptual_hash=digest
    )


def test_images_and_patients_seen_in_training_are_left_out_and_said(
    tiny, recipe, contract, model_path, unseen, tmp_path, caplog
):
    """A dataset of another name may hold the very images: 2 files, 3 pictures and 4 patients of the test split."""
    test = content_of_splits(tiny.prepared, ["test"])
    blank = {"file_sha256": "0" * 64, "pixel_hash": "", "perceptual_hash": "", "patient_key": "nobody"}
    files = test.iloc[:2].assign(source="other", pixel_hash="", perceptual_hash="")
    pixels = test.iloc[2:5].assign(source="other", **{name: blank[name] for name in ("file_sha256", "perceptual_hash")})
    patients = test.iloc[10:14].assign(**{name: blank[name] for name in blank if name != "patient_key"})
    seen = pd.concat([unseen, files, pixels, patients])
    with caplog.at_level(logging.INFO, logger="cxr_tasks"):
        metrics = evaluate_elsewhere(model_path, contract, recipe, tiny.prepared, tmp_path / "cross", seen=seen)
    gone = set(test["image_id"][[0, 1, 2, 3, 4]]) | set(
        test.loc[test["patient_key"].isin(patients["patient_key"]), "image_id"]
    )
    table = read_predictions(tmp_path / "cross" / "predictions.parquet", ("pneumonia",))
    assert set(table.loc[table["split"] == "test", "image_id"]) == set(test["image_id"]) - gone
    assert metrics.seen_in_training == {"validation": 0, "test": len(gone)}
    leak, reuse = metrics.remarks
    assert leak.name == "leak" and reuse.name == "test_reuse"
    assert leak.sentence.startswith(f"Left out: {len(gone)} of 60 test images are of images or patients that")
    for told in ("2 by the same file", "3 by the same pixels in another file", "by another image of a patient"):
        assert told in leak.sentence
    assert leak.sentence in caplog.text


def test_a_dataset_whose_test_images_were_all_seen_is_refused(tiny, recipe, contract, model_path, unseen, tmp_path):
    """The same images in a dataset of another name: the name alone told nothing."""
    seen = pd.concat([unseen, content_of_splits(tiny.prepared, ["train", "validation", "test"])])
    with pytest.raises(DataDefect, match="expected test images that cxr_multilabel was not trained on, found none: 60"):
        evaluate_elsewhere(model_path, contract, recipe, tiny.prepared, tmp_path, seen=seen)
    assert not (tmp_path / "metrics.json").exists()


def test_another_version_of_the_models_own_dataset_is_measured_on_what_is_new(
    tiny, recipe, contract, model_path, tmp_path
):
    """By its name it was refused; its test images are as new as any, and its validation images are not."""
    own = dataclasses.replace(contract, dataset=tiny.prepared.dataset)
    seen = content_of_splits(tiny.prepared, ["train", "validation"])
    metrics = evaluate_elsewhere(model_path, own, recipe, tiny.prepared, tmp_path / "cross", seen=seen)
    assert metrics.seen_in_training == {"validation": 40, "test": 0}
    assert metrics.splits["validation"].n_images == 0 and metrics.splits["test"].n_images == 60
    assert 0.8 < metrics.mean["test"][0].value < 1.0


def test_the_shared_finding_is_measured_with_the_models_own_decision(
    tiny, recipe, contract, model_path, unseen, tmp_path, caplog
):
    with caplog.at_level(logging.INFO, logger="cxr_tasks"):
        metrics = evaluate_elsewhere(model_path, contract, recipe, tiny.prepared, tmp_path / "cross", seen=unseen)
    assert metrics.findings == ("pneumonia",)
    assert (metrics.model.trained_on, metrics.model.dataset) == ("elsewhere", tiny.prepared.dataset)
    assert metrics.serving["pneumonia"].threshold == 0.4
    assert metrics.datasets == {}, "no numbers at home were given"
    assert read_evaluation_file(tmp_path / "cross" / "metrics.json") == metrics
    table = read_predictions(tmp_path / "cross" / "predictions.parquet", ("pneumonia",))
    assert table["split"].value_counts().to_dict() == {"test": 60, "validation": 40}
    # The same network as a binary model gives the same logits: the right one of fourteen was taken.
    assert 0.8 < metrics.mean["test"][0].value < 1.0
    assert "trained on elsewhere, on synthetic_binary, 1 shared findings" in caplog.text
    assert "person0" not in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset_fingerprint": "the same"}, "the very one that the model was trained on"),
        ({"decisions": ()}, "expected the model's findings"),
        ({"pixels": {"size_px": 64}}, "expected pixels as the model was trained on"),
    ],
)
def test_what_has_no_meaning_is_refused(tiny, recipe, contract, model_path, unseen, tmp_path, change, said):
    if "dataset_fingerprint" in change:
        change = {"dataset_fingerprint": tiny.prepared.fingerprint}
    if "pixels" in change:
        change = {"pixels": dataclasses.replace(contract.pixels, **change["pixels"])}
    with pytest.raises(DataDefect, match=said):
        changed = dataclasses.replace(contract, **change)
        evaluate_elsewhere(model_path, changed, recipe, tiny.prepared, tmp_path, seen=unseen)
    assert not list(tmp_path.iterdir())


def test_no_shared_finding_is_said(tiny, recipe, contract, model_path, unseen, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr_tasks.evaluate.elsewhere.measure.shared_findings", lambda one, other: ())
    with pytest.raises(DataDefect, match="no finding is shared"):
        evaluate_elsewhere(model_path, contract, recipe, tiny.prepared, tmp_path, seen=unseen)


@pytest.fixture
def registered(tiny, recipe, contract, model_path, unseen, tmp_path):
    """Version 1 of ``cxr_multilabel``, whose run holds the recipe it was trained by and its numbers at home."""
    from cxr_tasks.registry import tracking, version_files, versions

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.to_dict()))
    write_json(tmp_path / "metrics.json", assess(build_predictions(findings=NIH), NIH, recipe.evaluate).to_json())
    with tracking.open_run("cxr_multilabel", "train") as run:
        run.artifact(tmp_path / "recipe.yaml")
        write_rows_of_content(tmp_path / "trained_on.parquet", unseen)
        run.artifact(tmp_path / "trained_on.parquet")
        run.artifact(tmp_path / "metrics.json", ARTIFACT_FOLDER)
    number = version_files.register(
        model_name="cxr_multilabel", run_id=run.run_id, model_path=model_path, contract=contract, tags={}, work=tmp_path
    )
    versions.set_alias("cxr_multilabel", "champion", number)
    return number, run.run_id


def test_the_command_measures_tells_and_logs(tiny, registered, capsys):
    from cxr_tasks.registry import tracking

    number, run_id = registered
    on = f"{tiny.prepared.dataset}@{tiny.prepared.fingerprint[:8]}"
    assert main(["evaluate", "cxr_multilabel", "champion", "--on", on, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["trained_on"], told["dataset"]) == (number, "elsewhere", tiny.prepared.dataset)
    pneumonia = told["findings"]["pneumonia"]
    assert (list(told["findings"]), pneumonia["n"], pneumonia["n_positive"]) == (["pneumonia"], 60, 36)
    auroc = pneumonia["auroc"]
    assert 0.8 < auroc["lower"] < auroc["value"] < auroc["upper"] < 1
    assert set(told["left_out"]) == set(NIH) - {"pneumonia"}
    assert told["seen_in_training"] == {"validation": 0, "test": 0}
    leak, reuse = (one["sentence"] for one in told["remarks"])
    assert leak.startswith("0 of 60 test images are of images or patients that the model was trained on.")
    assert "measured on these 60 test images" in reuse
    here, home = told["datasets"]["pneumonia"]
    assert [(one["value"], one["n"]) for one in (here, home)] == [(tiny.prepared.dataset, 60), ("elsewhere", 200)]
    assert here["auroc_gap"][0] == pytest.approx(auroc["value"] - home["auroc"][0])
    group = f"on_{tiny.prepared.dataset}_{tiny.prepared.fingerprint[:8]}"
    run = tracking.client().get_run(run_id)
    assert run.data.metrics[f"{group}/test_auroc_pneumonia"] == auroc["value"]
    assert run.data.metrics[f"{group}/test_mean_auroc_lower"] == auroc["lower"]
    assert run.info.status == "FINISHED"
    (stored,) = tracking.client().list_artifacts(run_id, "evaluation_elsewhere")
    assert [one.path.rsplit("/", 1)[1] for one in tracking.client().list_artifacts(run_id, stored.path)] == [
        "metrics.json"
    ]


def test_a_version_of_which_nobody_knows_what_it_has_seen_is_refused(
    tiny, recipe, contract, model_path, tmp_path, capsys
):
    from cxr_tasks.registry import tracking, version_files

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.to_dict()))
    with tracking.open_run("cxr_multilabel", "train") as run:
        run.artifact(tmp_path / "recipe.yaml")
    number = version_files.register(
        model_name="cxr_multilabel", run_id=run.run_id, model_path=model_path, contract=contract, tags={}, work=tmp_path
    )
    on = f"{tiny.prepared.dataset}@{tiny.prepared.fingerprint[:8]}"
    assert main(["evaluate", "cxr_multilabel", str(number), "--on", on]) != 0
    told = capsys.readouterr().err
    assert "expected a record of the images it was trained on" in told and "which images it has seen" in told
