"""``docker/``, built and run: the image, all of ``compose.yaml``, a family's whole chain, two replicas, the proxy.

``make containers-test``; not a part of ``make test``: half an hour and 12 GB. Images of others are made from
packages (``tests/docker/images``), with the programs, entrypoints and refusals of those that ``compose.yaml`` names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack.cluster_env import write_cluster_env
from serving.check.server_process import free_port
from serving.client import CxrClient
from serving.export.golden import golden_images
from tests.docker.podman import Podman, Stack, missing
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(3600)

DOCKER = PROJECT_ROOT / "docker"
IMAGES = PROJECT_ROOT / "tests" / "docker" / "images"
PLATFORM = "localhost/cxr-platform:proof"
#: Variable of ``compose.yaml`` -> the stage of ``tests/docker/images/Dockerfile``.
OTHERS = {
    "CXR_POSTGRES_IMAGE": "database",
    "CXR_BROKER_IMAGE": "broker",
    "CXR_STORE_IMAGE": "store",
    "CXR_PROXY_IMAGE": "proxy",
    "CXR_SERVING_IMAGE": "serving",
}
MODEL = "cxr_binary"


@pytest.fixture(scope="module")
def podman() -> Podman:
    if lacking := missing():
        pytest.fail(f"containers cannot be run here: expected {lacking}", pytrace=False)
    return Podman(PROJECT_ROOT / "var" / "containers")


@pytest.fixture(scope="module")
def base(podman) -> str:
    """The base of all images: ``CXR_BASE``, or Debian made here."""
    return os.environ.get("CXR_BASE") or podman.base_image()


@pytest.fixture(scope="module")
def image(podman, base) -> str:
    seconds = podman.build(DOCKER / "Dockerfile", PROJECT_ROOT, "web", PLATFORM, BASE=base, REVISION="of-the-proof")
    print(f"built in {seconds:.0f} s")
    return PLATFORM


@pytest.fixture(scope="module")
def stack(podman, base, image) -> Stack:
    """All services and a second replica of the model server, healthy; stopped at the end, with what they made."""
    folder = podman.folder / "stack"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCKER, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    settings = {"CXR_IMAGE": image}
    for variable, target in OTHERS.items():
        settings[variable] = f"localhost/cxr-{target}:proof"
        podman.build(IMAGES / "Dockerfile", IMAGES, target, settings[variable], BASE=base, PLATFORM=image)
    ports = {
        name: str(free_port()) for name in ("CXR_AIRFLOW_HTTPS_PORT", "CXR_MLFLOW_HTTPS_PORT", "CXR_GRPC_TLS_PORT")
    }
    write_cluster_env(folder, ports)
    stack = Stack(podman, folder / "compose.yaml", {**settings, **ports}, ("replicas",))
    try:
        start = time.monotonic()
        stack.start()
        stack.wait_healthy()
        print(f"all healthy after {time.monotonic() - start:.0f} s")
        yield stack
    finally:
        stack.stop(with_volumes=True)


@pytest.fixture(scope="module")
def demo(stack) -> dict:
    """What the demo of one family says, run as ``make cluster-demo`` does."""
    command = ("python", "-m", "cxr_tasks.cli.demo", "--no-start", "--recipe", "synthetic_binary")
    done = stack.compose("exec", "-T", "worker-release", *command, check=False, timeout_s=2400)
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout + done.stderr
    container = stack.containers("worker-release")[0]
    return json.loads(stack.podman.run("exec", container, "cat", "/cxr/demo.json").stdout)


@pytest.fixture(scope="module")
def authority(stack, tmp_path_factory) -> Path:
    """The certificate of the proxy's own authority, as whoever connects is given it."""
    path = tmp_path_factory.mktemp("authority") / "root.crt"
    inside = "/data/caddy/pki/authorities/local/root.crt"
    path.write_text(stack.podman.run("exec", stack.containers("proxy")[0], "cat", inside).stdout)
    return path


def test_the_image_is_small_rights_and_says_what_is_in_it(podman, image):
    config = json.loads(podman.run("image", "inspect", image).stdout)[0]["Config"]
    assert config["User"] == "50000:0"
    assert config["Labels"]["org.opencontainers.image.revision"] == "of-the-proof"
    look = "cat /opt/cxr/sbom.cdx.json; test ! -w /opt/cxr; ! python -c 'import pytest' 2>/dev/null"
    said = podman.run("run", "--rm", "--network=none", image, "sh", "-ec", look).stdout
    listed = {one["purl"].partition("@")[0] for one in json.loads(said)["components"]}
    assert {"pkg:pypi/tensorflow", "pkg:pypi/apache-airflow", "pkg:deb/debian/libc6"} <= listed
    assert not {"pkg:pypi/pytest", "pkg:pypi/mypy", "pkg:pypi/playwright"} & listed


def test_a_change_of_code_builds_no_packages_anew(podman, base, image, tmp_path):
    context = tmp_path / "changed"
    for name in ("pyproject.toml", "README.md", ".dockerignore", *(one.name for one in PROJECT_ROOT.glob("*.lock"))):
        context.mkdir(exist_ok=True)
        shutil.copy2(PROJECT_ROOT / name, context / name)
    for name in ("cxr_tasks", "serving", "expectations", "dags", "docker"):
        shutil.copytree(PROJECT_ROOT / name, context / name, ignore=shutil.ignore_patterns("secrets", ".env"))
    (context / "dags" / "changed.py").write_text("# a change of code\n")
    changed = "localhost/cxr-platform:changed"
    seconds = podman.build(context / "docker" / "Dockerfile", context, "web", changed, BASE=base, REVISION="next")
    print(f"built anew after a change of code in {seconds:.1f} s")
    before, after = (
        json.loads(podman.run("image", "inspect", one).stdout)[0]["RootFS"]["Layers"] for one in (image, changed)
    )
    same = [one for one, other in zip(before, after, strict=False) if one == other]
    sizes = json.loads(podman.run("history", "--format", "json", changed).stdout)
    largest = max(sizes, key=lambda one: one["size"])
    assert len(same) >= 4 and largest["size"] > 10**9, "the layer of packages, and those below it, are the same"
    podman.run("rmi", changed)


def test_nothing_had_to_be_started_twice(stack):
    for service in stack.services():
        for container in stack.containers(service):
            state = json.loads(stack.podman.run("inspect", container).stdout)[0]
            assert state["RestartCount"] == 0, f"{container}: {stack.log(container)}"


def test_containers_have_no_rights(stack):
    for service in set(stack.services()) - {"rights"}:
        for container in stack.containers(service):
            state = json.loads(stack.podman.run("inspect", container).stdout)[0]
            assert state["Config"]["User"] == "50000:0", container
            assert set(state["EffectiveCaps"] or []) <= {"CAP_NET_BIND_SERVICE"}, container
            is_reached = any((state["HostConfig"]["PortBindings"] or {}).values())
            assert is_reached == (service == "proxy"), container
            if service not in ("database",):
                assert state["HostConfig"]["ReadonlyRootfs"], container


def test_a_family_goes_the_whole_way(demo):
    outcome = demo["models"][MODEL]
    assert outcome["is_approved"] and outcome["served_version"] == outcome["version"] == 1


def test_pages_are_reached_through_the_proxy_by_tls_alone(stack, demo, authority):
    port = stack.settings["CXR_AIRFLOW_HTTPS_PORT"]
    trusted = ssl.create_default_context(cafile=str(authority))
    with urllib.request.urlopen(f"https://localhost:{port}/", context=trusted, timeout=60) as page:
        assert "<title>Airflow" in page.read().decode()
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        urllib.request.urlopen(f"https://localhost:{port}/", timeout=60)
    with pytest.raises(urllib.error.HTTPError) as inside:
        urllib.request.urlopen(f"https://localhost:{port}/execution/health", context=trusted, timeout=60)
    assert inside.value.code == 404
    login = demo["addresses"]["airflow"]
    asked = json.dumps({"username": login["username"], "password": login["password"]}).encode()
    request = urllib.request.Request(
        f"https://localhost:{port}/auth/token", asked, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, context=trusted, timeout=60) as answer:
        assert json.load(answer)["access_token"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        mlflow = f"https://localhost:{stack.settings['CXR_MLFLOW_HTTPS_PORT']}"
        urllib.request.urlopen(f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1", context=trusted, timeout=60)
    assert refused.value.code == 401


def test_both_replicas_answer_through_the_proxy(stack, demo, authority):
    image = golden_images()["square_grey.jpeg"]
    for service in ("model-server", "model-server-2"):
        (container,) = stack.containers(service)
        listed = stack.podman.run("exec", container, "cat", "/models/models.config").stdout
        assert re.search(r'key: "stable" value: 1\b', listed), service
    with CxrClient(f"localhost:{stack.settings['CXR_GRPC_TLS_PORT']}", ca_file=authority) as client:
        answers = [client.predict(MODEL, image) for _ in range(20)]
    assert {one.version for one in answers} == {1}


def test_all_that_prometheus_asks_answers(stack, demo):
    """Each target of its configuration, asked from inside the network; Prometheus itself is not here."""
    stack.compose("up", "--detach", "--no-deps", "metrics")
    configuration = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    pages = {}
    for job in configuration["scrape_configs"]:
        targets = [one for group in job.get("static_configs", []) for one in group["targets"]]
        targets += [f"{name}:{dns['port']}" for dns in job.get("dns_sd_configs", []) for name in dns["names"]]
        for target in (one for one in targets if not one.startswith("localhost")):
            pages[job["job_name"]] = asked_inside(stack, f"http://{target}{job.get('metrics_path', '/metrics')}")
    assert "\ncxr_audit_problems 0\n" in pages["platform"]
    assert "tensorflow" in pages["model-server"] and "SeaweedFS" in pages["store"]


def asked_inside(stack: Stack, url: str) -> str:
    """What a worker's container is answered; a page may be a moment away from its first answer."""
    ask = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=60).read().decode())"
    container = stack.containers("worker-release")[0]
    answers: list[str] = []

    def is_answered() -> bool:
        done = stack.podman.run("exec", container, "python", "-c", ask, check=False)
        answers.append(done.stdout if done.returncode == 0 else done.stderr)
        return done.returncode == 0

    wait_until(is_answered, f"an answer of {url}", tell=lambda: answers[-1], pause_s=1)
    return answers[-1]


def test_all_is_kept_by_a_backup_and_the_file_is_whole(stack, demo):
    told = ("run", "--rm", "-T", "--no-deps", "-e", "CXR_BACKUP_PASSPHRASE=of the proof, no secret", "backup", "cxr")
    stack.compose(*told, "backup", "/backups/all.tar.gz")
    stack.compose(*told, "restore", "--check", "/backups/all.tar.gz")
    with tarfile.open(stack.compose_file.with_name("backups") / "all.tar.gz") as archive:
        names = set(archive.getnames())
    assert {f"postgres/{name}.dump" for name in ("airflow", "mlflow", "mlflow_logins", "shared")} <= names
    assert any(one.startswith("bucket/served/cxr_binary/1-") for one in names)


def test_no_request_fails_when_a_replica_goes_and_comes(stack, demo, authority):
    """The proxy leaves out the one that takes no connection."""
    image = golden_images()["square_grey.jpeg"]
    (container,) = stack.containers("model-server-2")
    with CxrClient(f"localhost:{stack.settings['CXR_GRPC_TLS_PORT']}", ca_file=authority) as client:
        stack.podman.run("stop", container)
        assert {client.predict(MODEL, image).version for _ in range(20)} == {1}
        stack.podman.run("start", container)
        stack.wait_healthy()
        assert {client.predict(MODEL, image).version for _ in range(20)} == {1}
