"""Versions by way of the store into a model server's own folder: whole, as announced, or not at all."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import DataDefect, ServiceUnavailable
from cxr_tasks.installation.storage.files import tree_sha256
from cxr_tasks.installation.storage.objects import Bucket
from serving import pull as puller
from serving.client.answers import AVAILABLE, ServedVersion
from serving.pull import pull
from serving.served.announced import LIST_KEY, Announced, announce, as_list, from_list
from serving.served.models_config import ListedModel
from tests.docker.services import lacks_store, seaweed

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    if lacking := lacks_store():
        pytest.skip(f"not installed here: {lacking}")
    with seaweed(tmp_path_factory.mktemp("store") / "s") as (port, credentials):
        yield port, credentials


@pytest.fixture
def bucket(store, monkeypatch):
    port, credentials = store
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CXR_BUCKET", "cxr")
    bucket = Bucket()
    bucket.put(LIST_KEY, as_list([]))
    return bucket


def test_keys_that_are_changed_hold_at_once(bucket, store, tmp_path, monkeypatch):
    _, credentials = store
    (tmp_path / "former").write_text("[default]\naws_access_key_id = former\naws_secret_access_key = gone\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "former"))
    with pytest.raises(ServiceUnavailable, match="InvalidAccessKeyId"):
        Bucket().get(LIST_KEY)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    assert from_list(Bucket().get(LIST_KEY)) == ()


def make_version(served: Path, version: int, text: str = "weights") -> Path:
    folder = served / "cxr_binary" / str(version)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(f"graph {version}")
    (folder / "variables" / "data").write_text(text)
    return folder


def told(served: Path, *versions: int, **labels: int) -> tuple:
    return ("cxr_binary", served / "cxr_binary", dict.fromkeys(versions, ""), labels)


def test_a_version_comes_whole_and_is_listed_only_then(bucket, tmp_path):
    first = make_version(tmp_path / "served", 1)
    announce(bucket, [told(tmp_path / "served", 1, stable=1)])
    into = tmp_path / "models"
    assert pull(bucket, into)
    assert tree_sha256(into / "cxr_binary" / "1") == tree_sha256(first)
    config = (into / "models.config").read_text()
    assert f'base_path: "{into / "cxr_binary"}"' in config and 'key: "stable" value: 1' in config
    assert [one.name for one in (into / "cxr_binary").iterdir() if not one.name.startswith(".")] == ["1"]


def test_a_folder_that_is_lost_or_damaged_on_the_volume_changes_nothing_elsewhere(bucket, tmp_path):
    folder = make_version(tmp_path / "served", 1)
    published = {1: tree_sha256(folder)}
    of_model = ("cxr_binary", folder.parent, published, {"stable": 1})
    announce(bucket, [of_model])
    before = bucket.get(LIST_KEY)
    (folder / "variables" / "data").write_text("damaged")
    announce(bucket, [of_model])
    assert bucket.get(LIST_KEY) == before
    shutil.rmtree(folder)
    announce(bucket, [of_model])
    assert bucket.get(LIST_KEY) == before
    pull(bucket, tmp_path / "models")
    assert tree_sha256(tmp_path / "models" / "cxr_binary" / "1") == published[1]


def test_files_that_are_not_those_that_were_published_never_reach_the_bucket(bucket, tmp_path):
    first = make_version(tmp_path / "served", 1)
    second = make_version(tmp_path / "served", 2, text="damaged before it was uploaded")
    versions = {1: tree_sha256(first), 2: "ab" * 32}
    announce(bucket, [("cxr_binary", second.parent, versions, {"stable": 1, "canary": 2})])
    (listed,) = from_list(bucket.get(LIST_KEY))
    assert (set(listed.versions), listed.labels) == ({1}, {"stable": 1})


def test_an_archive_that_is_not_what_was_announced_changes_nothing(bucket, tmp_path):
    make_version(tmp_path / "served", 1)
    announce(bucket, [told(tmp_path / "served", 1, stable=1)])
    into = tmp_path / "models"
    pull(bucket, into)
    before = (into / "models.config").read_text()
    make_version(tmp_path / "served", 2, text="what no other test has")
    announce(bucket, [told(tmp_path / "served", 1, 2, stable=2)])
    (forged,) = [one for one in from_list(bucket.get(LIST_KEY)) if 2 in one.versions]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("saved_model.pb")
        member.size = 6
        archive.addfile(member, io.BytesIO(b"forged"))
    bucket.put(forged.key(2), content.getvalue())
    with pytest.raises(DataDefect, match=r"expected files with digest .*; not served"):
        pull(bucket, into)
    assert (into / "models.config").read_text() == before
    assert not (into / "cxr_binary" / "2").exists()


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside"])
def test_an_archive_writes_nothing_outside_its_folder(bucket, tmp_path, name):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    one = Announced(name="cxr_binary", versions={1: "0" * 64}, labels={})
    bucket.put(one.key(1), content.getvalue())
    bucket.put(LIST_KEY, as_list([one]))
    with pytest.raises(DataDefect, match="not served"):
        pull(bucket, tmp_path / "a" / "b" / "models")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    "content",
    [
        b"no JSON",
        b"[]",
        json.dumps({"models": [{"name": "../x", "versions": {}, "labels": {}}]}).encode(),
        json.dumps({"models": [{"name": "x", "versions": {"1": '"}'}, "labels": {}}]}).encode(),
        json.dumps({"models": [{"name": "x", "versions": {"one": "ab"}, "labels": {}}]}).encode(),
    ],
)
def test_a_list_that_is_none_is_refused(content):
    with pytest.raises(DataDefect, match=r"expected the list of served models"):
        from_list(content)


def test_the_same_number_with_another_content_is_fetched_anew(bucket, tmp_path):
    into = tmp_path / "models"
    for place in ("one", "two"):
        make_version(tmp_path / place, 1, text=place)
        announce(bucket, [told(tmp_path / place, 1, stable=1)])
        pull(bucket, into)
        assert (into / "cxr_binary" / "1" / "variables" / "data").read_text() == place


def test_what_is_no_longer_listed_goes_after_a_while(bucket, tmp_path, monkeypatch):
    for version in (1, 2):
        make_version(tmp_path / "served", version)
    into = tmp_path / "models"
    announce(bucket, [told(tmp_path / "served", 1, 2, stable=2)])
    pull(bucket, into)
    announce(bucket, [told(tmp_path / "served", 2, stable=2)])
    pull(bucket, into)
    assert "versions: 1 " not in (into / "models.config").read_text()
    assert (into / "cxr_binary" / "1").is_dir(), "the server may still unload it"
    monkeypatch.setattr(puller, "KEEP_S", -1.0)
    pull(bucket, into)
    assert not (into / "cxr_binary" / "1").exists()
    assert (into / "cxr_binary" / "2").is_dir()


class Server:
    """A model server that has these versions loaded; none: it does not answer."""

    def __init__(self, *versions: int):
        self._versions = versions

    def versions(self, model: str) -> tuple[ServedVersion, ...]:
        if not self._versions:
            raise ServiceUnavailable("not up")
        return tuple(ServedVersion(one, AVAILABLE) for one in self._versions)


@pytest.mark.parametrize(
    ("loaded", "versions", "labels"),
    [
        ((1,), (1, 2), {"stable": 1}),  # was away while it was released: both are listed, and the label waits
        ((1, 2), (2,), {"stable": 2}),  # has it by now
        ((), (1, 2), {"stable": 1}),  # starts: as before, since it may be reading the former list
    ],
)
def test_a_label_waits_for_the_server_at_hand(tmp_path, loaded, versions, labels):
    base = make_version(tmp_path, 1).parent
    before = ListedModel("cxr_binary", base, (1,), {"stable": 1})
    told = puller.listed_for(ListedModel("cxr_binary", base, (2,), {"stable": 2}), before, Server(*loaded))
    assert (told.versions, told.labels) == (versions, labels)


def test_what_is_listed_first_or_has_a_new_label_is_listed_at_once(tmp_path):
    base = make_version(tmp_path, 1).parent
    wanted = ListedModel("cxr_binary", base, (1, 2), {"stable": 1, "canary": 2})
    assert puller.listed_for(wanted, None, Server()) == wanted
    assert puller.listed_for(wanted, ListedModel("cxr_binary", base, (1,), {"stable": 1}), Server(1)) == wanted


def test_a_former_version_whose_files_are_gone_is_not_waited_for(tmp_path):
    """A server does not start with a version listed that is not there."""
    before = ListedModel("cxr_binary", tmp_path / "cxr_binary", (1,), {"stable": 1})
    wanted = ListedModel("cxr_binary", tmp_path / "cxr_binary", (2,), {"stable": 2})
    assert puller.listed_for(wanted, before, Server()) == wanted


def test_a_store_that_does_not_answer_is_named_without_its_keys(store, bucket, tmp_path, monkeypatch):
    from serving.check.server_process import free_port

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnavailable, match="s3://cxr/served/models.json: the store does not") as raised:
        pull(Bucket(), tmp_path)
    assert store[1].read_text().split()[-1] not in str(raised.value)
