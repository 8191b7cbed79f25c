"""What the model server is told to serve, from the states and the version folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_tasks.installation.storage.files import tree_sha256
from serving.served.leftovers import settle, settle_all
from serving.served.models_config import ListedModel, config_text, listed_in, models_config_path, write_models_config
from serving.served.state import Content, ServingState, locked, read_state, write_state


@pytest.fixture
def on_disk(cxr_home):
    """Makes empty version folders of a model."""

    def make(model_name: str, *names: object) -> None:
        for name in names:
            (cxr_home / "served" / model_name / str(name)).mkdir(parents=True)

    return make


def known(cxr_home, state: ServingState) -> ServingState:
    """``state`` once it is told what lies in its version folders, of no known run."""
    for version in sorted(state.kept):
        sha256 = tree_sha256(cxr_home / "served" / "cxr_binary" / str(version))
        state = state.with_content(version, Content(export_sha256=sha256))
    return state


def entry(cxr_home, name: str, versions: str, *labels: str) -> str:
    lines = [f"    version_labels {{ {one} }}\n" for one in labels]
    return (
        "  config {\n"
        f'    name: "{name}"\n'
        f'    base_path: "{cxr_home / "served" / name}"\n'
        '    model_platform: "tensorflow"\n'
        f"    model_version_policy {{ specific {{ {versions} }} }}\n{''.join(lines)}"
        "  }\n"
    )


def test_nothing_is_written_without_a_version(cxr_home, on_disk):
    on_disk("cxr_binary", "v7", "9.5", ".12.abc")
    assert write_models_config() == ()
    assert not models_config_path().exists()


def test_only_models_with_a_version_are_listed(cxr_home, on_disk):
    on_disk("cxr_multilabel", 4)
    on_disk("scratch", 1)
    (cxr_home / "served" / "cxr_binary").mkdir()
    assert write_models_config() == ("cxr_multilabel",)
    assert models_config_path().read_text() == (
        "model_config_list {\n" + entry(cxr_home, "cxr_multilabel", "versions: 4", 'key: "stable" value: 4') + "}\n"
    )


@pytest.mark.parametrize(
    ("state", "versions", "labels"),
    [
        # The version before is kept on disk and not loaded.
        (ServingState(stable=3, previous=2), "versions: 3", ['key: "stable" value: 3']),
        # A new one is loaded beside the old one first, without a label.
        (ServingState(stable=3, changing=4), "versions: 3 versions: 4", ['key: "stable" value: 3']),
        (ServingState(stable=4, changing=3), "versions: 3 versions: 4", ['key: "stable" value: 4']),
        (
            ServingState(stable=3, canary=4),
            "versions: 3 versions: 4",
            ['key: "stable" value: 3', 'key: "canary" value: 4'],
        ),
        # The first version of a model bears no label before it has answered.
        (ServingState(changing=4), "versions: 4", []),
        # Whatever is not on disk would keep a starting server waiting.
        (ServingState(stable=9, canary=4), "versions: 4", ['key: "canary" value: 4']),
    ],
)
def test_versions_and_labels_follow_the_state(cxr_home, on_disk, state, versions, labels):
    on_disk("cxr_binary", 2, 3, 4)
    write_state("cxr_binary", state)
    assert write_models_config() == ("cxr_binary",)
    expected = f"model_config_list {{\n{entry(cxr_home, 'cxr_binary', versions, *labels)}}}\n"
    assert models_config_path().read_text() == expected


def test_models_are_kept_when_all_versions_vanish(cxr_home, on_disk):
    """An empty list would make the running server unload what it has in memory."""
    on_disk("cxr_binary", 1)
    write_models_config()
    before = models_config_path().read_text()
    (cxr_home / "served" / "cxr_binary" / "1").rmdir()
    assert write_models_config() == ()
    assert models_config_path().read_text() == before


@pytest.mark.tf
def test_written_file_is_read_by_the_servers_own_format(cxr_home, on_disk):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    for name in ("cxr_binary", "cxr_multilabel"):
        on_disk(name, 1, 2)
        write_state(name, ServingState(stable=1, canary=2))
    write_models_config()
    config = text_format.Parse(models_config_path().read_text(), model_server_config_pb2.ModelServerConfig())
    for one, name in zip(config.model_config_list.config, ("cxr_binary", "cxr_multilabel"), strict=True):
        assert (one.name, one.base_path) == (name, str(cxr_home / "served" / name))
        assert list(one.model_version_policy.specific.versions) == [1, 2]
        assert dict(one.version_labels) == {"stable": 1, "canary": 2}


@pytest.mark.parametrize(
    ("killed", "whole", "folders"),
    [
        # On its way in: dropped.
        (ServingState(stable=3, previous=2, changing=4), ServingState(stable=3, previous=2), [2, 3]),
        # A former version on its way back in: stays the former one.
        (ServingState(stable=3, previous=2, changing=2), ServingState(stable=3, previous=2), [2, 3]),
        # On its way out: the new one serves.
        (ServingState(stable=4, previous=3, changing=3), ServingState(stable=4, previous=3), [3, 4]),
        (ServingState(stable=2, changing=3), ServingState(stable=2), [2]),
    ],
)
def test_what_a_killed_change_left_is_put_in_order(cxr_home, on_disk, killed, whole, folders):
    on_disk("cxr_binary", 2, 3, 4, ".publishing-5-1", ".withdrawn-1-1")
    write_state("cxr_binary", killed)
    with locked("cxr_binary"):
        assert settle("cxr_binary") == known(cxr_home, whole)
    assert read_state("cxr_binary") == known(cxr_home, whole)
    left = sorted(one.name for one in (cxr_home / "served" / "cxr_binary").iterdir() if one.is_dir())
    assert left == [str(one) for one in folders]
    assert " ".join(f"versions: {one}" for one in whole.loaded) in models_config_path().read_text()


def test_a_model_that_is_being_changed_is_left_alone(cxr_home, on_disk):
    on_disk("cxr_binary", 3, 4)
    going_on = ServingState(stable=3, changing=4)
    write_state("cxr_binary", going_on)
    with locked("cxr_binary", "a release of version 4"):
        settle_all()
        assert read_state("cxr_binary") == going_on
    settle_all()
    assert read_state("cxr_binary") == known(cxr_home, ServingState(stable=3))


def test_what_was_written_can_be_read():
    models = (
        ListedModel("cxr_binary", Path("/models/cxr_binary"), (1, 12), {"stable": 1, "canary": 12}),
        ListedModel("cxr_multilabel", Path("/models/cxr_multilabel"), (3,)),
    )
    assert listed_in(config_text(models)) == models
    assert listed_in("") == ()
