"""A data folder in a real S3 store: read as the same folder on disk is, each object fetched once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ServiceUnavailable
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import DatasetSpec, SplitSpec
from cxr_tasks.ingest.stage import collect_parts, inspect_part, list_images
from cxr_tasks.installation.storage import fetched_folders
from cxr_tasks.installation.storage.fetched_folders import fetched_folder, parted
from cxr_tasks.installation.storage.objects import Bucket
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.sources.base import get_source
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.sources.synthetic import write_phantoms
from tests.docker import services

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(services.lacks_store()), reason=f"needs {services.lacks_store()}"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[tuple[int, Path]]:
    with services.seaweed(tmp_path_factory.mktemp("store") / "seaweed") as found:
        yield found


@pytest.fixture
def bucket(store, cxr_home: Path, monkeypatch) -> Bucket:
    for variable, value in {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{store[0]}",
        "AWS_SHARED_CREDENTIALS_FILE": str(store[1]),
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(variable, value)
    bucket = Bucket(services.BUCKET)
    for key in bucket.listing():
        bucket._client.delete_object(Bucket=bucket.name, Key=key)
    return bucket


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """Keys of the objects that were fetched, each time that one was."""
    keys: list[str] = []
    fetch = Bucket.fetch

    def noted(self, key, path):
        keys.append(key)
        fetch(self, key, path)

    monkeypatch.setattr(Bucket, "fetch", noted)
    return keys


def upload(bucket: Bucket, folder: Path, prefix: str) -> list[str]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in names:
        bucket.put_file(f"{prefix}/{name}", folder / name)
    return names


def manifest(recipe, data_folder: str, run: str) -> pd.DataFrame:
    paths = RunPaths.for_run("ingest", run)
    plan = list_images(recipe, data_folder, paths)
    parts = [inspect_part(recipe, plan, number, paths) for number in range(len(plan.parts))]
    studies = collect_parts(recipe, plan, parts, paths)
    return pd.read_parquet(studies.manifest.uri)


@pytest.mark.parametrize(("layout", "vocabulary"), [("kermany", "pneumonia"), ("dicom", "pneumonia")])
def test_an_ingest_from_the_store_is_that_of_the_same_folder(bucket, fetched, tmp_path, layout, vocabulary):
    options = SyntheticOptions(n_images=30, size_px=96, seed=4, layout=layout)
    write_phantoms(tmp_path / "drawn", options)
    folder = tmp_path / "drawn" / LAYOUTS[layout].folder(options)
    recipe = dataclasses.replace(
        load_recipe("synthetic_binary"),
        dataset=DatasetSpec(name="mine", source=layout, vocabulary=vocabulary, part_size=10),
        split=SplitSpec(salt="x", validation=0.2, test=0.2),
    )
    names = upload(bucket, folder, f"data/{layout}")
    assert manifest(recipe, str(folder), "disk").equals(
        from_store := manifest(recipe, f"s3://{services.BUCKET}/data/{layout}/", "store")
    )
    assert len(from_store) > 10
    assert sorted(fetched) == [f"data/{layout}/{name}" for name in names]  # each once, whatever read it


def test_only_what_changed_is_fetched_again_and_what_is_gone_goes(bucket, fetched):
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        bucket.put(f"set/{name}", name.encode())
    bucket.put("set/empty/", b"")
    bucket.put("settings/x.png", b"of another folder")
    folder = fetched_folder(f"s3://{services.BUCKET}/set")
    held = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert held == {"a/1.png": b"a/1.png", "a/2.png": b"a/2.png", "b/3.png": b"b/3.png"}
    fetched.clear()
    assert fetched_folder(f"s3://{services.BUCKET}/set/") == folder and fetched == []
    bucket.put("set/a/1.png", b"another")
    bucket._client.delete_object(Bucket=bucket.name, Key="set/b/3.png")
    fetched_folder(f"s3://{services.BUCKET}/set")
    assert fetched == ["set/a/1.png"]
    assert (folder / "a/1.png").read_bytes() == b"another" and not (folder / "b/3.png").exists()


def test_what_was_fetched_before_the_store_went_away_is_not_fetched_again(bucket, fetched, monkeypatch):
    monkeypatch.setattr(fetched_folders, "AT_ONCE", 1)
    for number in range(4):
        bucket.put(f"set/{number}.png", b"x")
    fetch = Bucket.fetch

    def lost(self, key, path):
        if key.endswith("2.png"):
            raise ServiceUnavailable("the store is away")
        fetch(self, key, path)

    with monkeypatch.context() as away:
        away.setattr(Bucket, "fetch", lost)
        with pytest.raises(ServiceUnavailable, match="away"):
            fetched_folder(f"s3://{services.BUCKET}/set")
    before = set(fetched)
    fetched.clear()
    fetched_folder(f"s3://{services.BUCKET}/set")
    assert before >= {"set/0.png", "set/1.png"} and "set/2.png" in fetched
    assert not {"set/0.png", "set/1.png"} & set(fetched)


@pytest.mark.parametrize("key", ["set/../secret.png", "set//x.png", f"set/{'x' * 300}.png"])
def test_a_key_that_cannot_be_a_file_leads_out_of_nothing(bucket, key, monkeypatch, cxr_home):
    states = Bucket.states
    monkeypatch.setattr(
        Bucket, "states", lambda self, prefix="": states(self, prefix) | {key: fetched_folders.ObjectState(1, "e", 0)}
    )
    with pytest.raises(DataDefect, match="cannot be the name of a file"):
        fetched_folder(f"s3://{services.BUCKET}/set")
    assert not list(cxr_home.rglob("*.png"))


def test_a_folder_without_objects_and_a_wrong_address_are_named(bucket):
    with pytest.raises(DataDefect, match="s3://cxr/nowhere: expected objects, found none"):
        fetched_folder("s3://cxr/nowhere")
    with pytest.raises(ServiceUnavailable, match="s3://no-such-bucket"):
        fetched_folder("s3://no-such-bucket/x")
    assert parted("s3://cxr") == ("cxr", "") and parted("s3://cxr/a/b/") == ("cxr", "a/b/")
    for wrong in ("s3://", "s3:///x", "s3://cxr/a//b", "s3://cxr/../x"):
        with pytest.raises(ConfigurationError, match="expected such as s3://bucket/folder"):
            parted(wrong)


def test_the_source_is_asked_as_for_any_folder(bucket):
    bucket.put("set/x.txt", b"no image")
    spec = DatasetSpec(name="mine", source="kermany", vocabulary="pneumonia")
    with pytest.raises(DataDefect):
        get_source("kermany").scan(fetched_folder("s3://cxr/set"), spec)
