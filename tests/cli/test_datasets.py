"""``cxr datasets`` as typed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from cxr_tasks.cli.main import main
from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.datasets.latest import publish_latest
from cxr_tasks.installation.storage.paths import datasets_root, home
from tests.prepare.folders import RECIPE, manifest_of, stored_folder, with_vocabulary

NAME = RECIPE.dataset.name
OLD, NEW = f"{NAME}@aa{'0' * 14}", f"{NAME}@bb{'0' * 14}"


@pytest.fixture
def two(cxr_home):
    """An old version and a newer, published one with three more patients and one other label."""
    later = manifest_of(9)
    later.loc[1, "label_pneumonia"] = "positive"
    stored_folder("aa", manifest_of(6), made_at="2026-11-01T00:00:00+00:00")
    publish_latest(stored_folder("bb", later, made_at="2026-11-02T00:00:00+00:00"))


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    code = main(["datasets", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize("command", ["list", "show", "diff", "prune"])
def test_each_command_shows_an_example_and_has_json(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["datasets", command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"example: cxr datasets {command}" in shown and "--json" in shown


def test_list_says_what_there_is(two, capsys):
    _, shown, _ = run(capsys, "list")
    lines = shown.splitlines()
    assert len(lines) == 3 and lines[1].split()[:3] == [NAME, f"bb{'0' * 14}", "newest"]
    _, shown, _ = run(capsys, "list", NAME, "--json")
    assert [(one["fingerprint"].rstrip("0"), one["n_images"]) for one in json.loads(shown)] == [("bb", 18), ("aa", 12)]


def test_an_empty_home_says_how_to_make_the_first_one(cxr_home, capsys):
    assert run(capsys, "list") == (0, "no dataset is prepared yet; 'cxr trigger RECIPE' makes the first one\n", "")
    assert json.loads(run(capsys, "list", "--json")[1]) == []
    code, _, error = run(capsys, "show", NAME)
    assert code == 1 and "known: none is prepared yet" in error


def test_show_counts_labels_by_split(two, capsys):
    code, shown, _ = run(capsys, "show", NAME)
    assert code == 0 and NEW in shown and "(newest)" in shown
    assert ["Pneumonia,", "positive", "1", "0", "0"] in [line.split() for line in shown.splitlines()]
    found = json.loads(run(capsys, "show", OLD, "--json")[1])
    assert found["statistics"]["train"]["n_patients"] == 2 and found["provenance"]["recipe"] == RECIPE.name


def test_diff_counts_and_names_images_in_json_only(two, capsys):
    code, shown, _ = run(capsys, "diff", f"{NAME}@aa", NAME)
    assert code == 0
    assert "patients: 6 -> 9; 3 in, 0 out, 0 in another split" in shown
    assert "images: 12 -> 18; 6 in, 0 out, 0 with other content" in shown
    assert "label pneumonia: 1 images negative -> positive" in shown
    assert "x/0" not in shown
    found = json.loads(run(capsys, "diff", f"{NAME}@aa", NAME, "--json")[1])
    assert found["labels"]["pneumonia"] == {"negative -> positive": ["x/001.png"]}
    assert "nothing changed" in run(capsys, "diff", NAME, NAME)[1]


def test_diff_names_findings_in_and_out(cxr_home, capsys):
    for fingerprint, vocabulary in (("aa", "nih14"), ("bb", "shared7")):
        stored_folder(fingerprint, manifest_of(findings=findings_of(vocabulary)), recipe=with_vocabulary(vocabulary))
    code, shown, _ = run(capsys, "diff", OLD, NEW)
    assert code == 0
    assert "finding out: infiltration, mass, nodule, emphysema, fibrosis, pleural_thickening, hernia\n" in shown
    assert "finding in:" not in shown
    assert "nothing changed" not in shown
    _, shown, _ = run(capsys, "diff", NEW, OLD)
    assert "finding in: infiltration, mass, nodule, emphysema, fibrosis, pleural_thickening, hernia\n" in shown
    assert "finding out:" not in shown


def test_prune_shows_first_and_removes_when_told(two, capsys):
    code, shown, error = run(capsys, "prune", NAME, "--keep", "1")
    assert code == 0 and f"would go {OLD}" in shown and "nothing was removed: add --yes" in shown
    assert f"kept     {NEW}: the newest, which training takes" in shown
    assert "no model registry yet" in error
    assert (datasets_root() / NAME / f"aa{'0' * 14}").is_dir()
    found = json.loads(run(capsys, "prune", NAME, "--keep", "1", "--yes", "--json")[1])
    assert [one["folder"].rpartition("/")[2] for one in found["removed"]] == [f"aa{'0' * 14}"]
    assert not (datasets_root() / NAME / f"aa{'0' * 14}").exists()
    assert "nothing to remove" in run(capsys, "prune", NAME, "--keep", "1")[1]


def test_prune_keeps_what_fits_the_usual_number(two, capsys):
    assert f"kept     {OLD}: among the 3 newest" in run(capsys, "prune", NAME)[1]
    code, _, error = run(capsys, "prune", NAME, "--keep", "0")
    assert code == 1 and "--keep: expected 1 or more, found 0" in error


@pytest.fixture
def registry(two, monkeypatch):
    """A registry whose one model was trained on the old version; its answer is made here, not its address."""
    from cxr_tasks.registry import versions

    store = home() / "mlflow" / "mlflow.db"
    store.parent.mkdir(parents=True)
    store.touch()
    answer = SimpleNamespace(tags={"data.fingerprint": "aa".ljust(64, "0")})
    monkeypatch.setattr(versions, "model_versions", lambda: [answer, SimpleNamespace(tags={})])
    return monkeypatch


def test_prune_keeps_what_a_registered_model_was_trained_on(registry, capsys):
    assert f"kept     {OLD}: a model was trained on it" in run(capsys, "prune", NAME, "--keep", "1", "--yes")[1]
    assert (datasets_root() / NAME / f"aa{'0' * 14}").is_dir()
    _, shown, error = run(capsys, "prune", NAME, "--keep", "1", "--yes", "--force")
    assert f"removed  {OLD}" in shown and "--force" in error
    assert not (datasets_root() / NAME / f"aa{'0' * 14}").exists()


def test_prune_removes_nothing_while_mlflow_does_not_answer(registry, capsys):
    from cxr_tasks.registry import versions

    def silent():
        raise ServiceUnavailable("MLflow at http://127.0.0.1:5000: expected an answer, found none")

    registry.setattr(versions, "model_versions", silent)
    code, _, error = run(capsys, "prune", NAME, "--keep", "1", "--yes")
    assert code == 1 and "not known which versions models were trained on" in error and "--force" in error
    assert (datasets_root() / NAME / f"aa{'0' * 14}").is_dir()


@pytest.mark.mlflow
def test_prune_asks_the_real_registry(two, capsys):
    from cxr_tasks.registry import tracking

    client = tracking.client()
    client.create_registered_model("cxr_binary")
    run_id = client.create_run(tracking.experiment_id(client, "cxr_binary")).info.run_id
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    client.create_model_version("cxr_binary", source, run_id, tags={"data.fingerprint": "aa".ljust(64, "0")})
    assert f"kept     {OLD}: a model was trained on it" in run(capsys, "prune", NAME, "--keep", "1", "--yes")[1]
    assert (datasets_root() / NAME / f"aa{'0' * 14}").is_dir()
