"""The files of ``docker/``: what tools say of them, and that they fit each other and the code."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from cxr_tasks.installation.engines import VARIABLES, Engines
from cxr_tasks.installation.logins import AIRFLOW_PASSWORDS, KEYS
from cxr_tasks.installation.storage.addresses import SECRETS
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack.cluster_env import write_cluster_env
from cxr_tasks.stack.pools import GPU_QUEUE, QUEUES
from cxr_tasks.stack.programs import BY_NAME

DOCKER = PROJECT_ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict] = COMPOSE["services"]
#: Images of others may write where they like.
WRITES = {"database", "grafana"}


def tool(name: str, hint: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed: {hint}")
    return found


def said_by(*command: object) -> tuple[int, str]:
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False, cwd=DOCKER)
    return done.returncode, done.stdout + done.stderr


def test_the_dockerfile_is_as_hadolint_likes_it():
    assert said_by(tool("hadolint", "make CLUSTER=1"), "Dockerfile") == (0, "")


def test_what_the_build_copies_is_let_through_and_there():
    ignored = (PROJECT_ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    copied = set()
    for line in re.findall(r"^COPY (?!--)(.*) \S+$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE):
        copied |= set(line.split())
    let_through = [one[1:] for one in ignored if one.startswith("!")]
    for name in copied:
        assert (PROJECT_ROOT / name).exists(), name
        assert any(Path(name).match(pattern) for pattern in let_through), name


def test_the_proxys_file_is_one(tmp_path):
    caddy = tool("caddy", "make CLUSTER=1")
    code, said = said_by(
        "env", f"XDG_DATA_HOME={tmp_path}", caddy, "validate", "--adapter", "caddyfile", "--config", "proxy/Caddyfile"
    )
    assert code == 0, said
    assert said_by(caddy, "fmt", "--diff", "proxy/Caddyfile")[0] == 0, "caddy fmt --overwrite docker/proxy/Caddyfile"


def test_an_image_has_no_tool_that_only_developers_need():
    dockerfile = (DOCKER / "Dockerfile").read_text().replace("\\\n", "")
    left_out = re.search(r'DEVELOPERS="([^"]+)"', dockerfile)
    assert left_out
    asked = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    names = {re.split(r"[<>=]", one)[0] for one in asked}
    assert set(left_out[1].split()) == names - {"setuptools", "uv"}, "these two install the code"


def test_alerts_come_when_they_should():
    promtool = tool("promtool", "apt-get install prometheus")
    tests = [f"prometheus/{name}" for name in ("rules_test.yml", "rules_days_test.yml")]
    for command in (("check", "config", "prometheus/prometheus.yml"), ("test", "rules", *tests)):
        code, said = said_by(promtool, *command)
        assert code == 0, said


def test_each_alert_says_why_and_what_to_do_and_has_a_test():
    rules = yaml.safe_load((DOCKER / "prometheus" / "rules.yml").read_text())
    alerts = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    for name, rule in alerts.items():
        assert set(rule["annotations"]) == {"summary", "action"}, name
    fired = set()
    for name in ("rules_test.yml", "rules_days_test.yml"):
        for one in yaml.safe_load((DOCKER / "prometheus" / name).read_text())["tests"]:
            fired |= {test["alertname"] for test in one.get("alert_rule_test", []) if test["exp_alerts"]}
    assert fired == set(alerts)


def test_alerts_ask_for_metrics_that_are_told(cxr_home):
    from cxr_tasks.metrics.platform import platform_metrics

    cxr_home.mkdir()
    told = {metric.name for metric in platform_metrics({})}
    files = (DOCKER / "prometheus" / "rules.yml", DOCKER / "grafana" / "dashboards" / "cxr.json")
    asked = {name for file in files for name in re.findall(r"\bcxr_[a-z_]+", file.read_text())}
    asked -= {"cxr_monitor"}  # a DAG's name, among what to do
    assert asked and asked <= told


def test_airflows_metrics_are_asked_for_by_the_names_that_prometheus_gives_them():
    """By Airflow's own list: a counter becomes a total, a timer a histogram in milliseconds, a gauge keeps its name."""
    (root,) = importlib.util.find_spec("airflow").submodule_search_locations
    template = yaml.safe_load((Path(root) / "_shared/observability/metrics/metrics_template.yaml").read_text())
    known = {}
    for one in template["metrics"]:
        name = f"airflow_{one['name'].replace('.', '_')}"
        if one["type"] == "timer":
            known |= {f"{name}_milliseconds_{part}": one for part in ("bucket", "count", "sum")}
        else:
            known[f"{name}_total" if one["type"] == "counter" else name] = one
    files = (DOCKER / "prometheus" / "rules.yml", DOCKER / "grafana" / "dashboards" / "cxr.json")
    asked = {name for file in files for name in re.findall(r"\bairflow_[a-z_]+", file.read_text())}
    assert asked and asked <= set(known)
    for file in files:
        for label, name in re.findall(r"by \(([a-z_]+)\) \((?:increase\()?(airflow_[a-z_]+)", file.read_text()):
            assert label in known[name]["name_variables"] or label in known[name]["description"], (label, name)


def test_the_servers_metrics_are_asked_for_by_their_names():
    pytest.importorskip("numpy")
    from serving.server.metrics import Metrics

    told = {f"{one.name}{part}" for one in Metrics().all() for part in ("", "_bucket", "_count", "_sum")}
    files = (DOCKER / "prometheus" / "rules.yml", DOCKER / "grafana" / "dashboards" / "cxr.json")
    asked = {name for file in files for name in re.findall(r":tensorflow:[a-z_:]+", file.read_text())}
    assert asked and asked <= told


def test_manifests_are_what_the_api_takes():
    validate = tool("kubernetes-validate", "make CLUSTER=1")
    code, said = said_by(validate, "--strict", "kubernetes/platform.yaml", "kubernetes/pod-template.yaml")
    assert code == 0, said


def airflow_options() -> dict[str, set[str]]:
    """Section -> options of the Airflow that is installed and of its provider for Celery, without importing Airflow."""
    (root,) = importlib.util.find_spec("airflow").submodule_search_locations
    known = yaml.safe_load((Path(root) / "config_templates" / "config.yml").read_text())
    celery = runpy.run_path(str(Path(root) / "providers" / "celery" / "get_provider_info.py"))["get_provider_info"]()
    return {section: set(one["options"]) for section, one in {**known, **celery["config"]}.items()}


def test_values_of_airflows_chart_fit_airflow_the_code_and_the_manifests():
    """The chart's own schema is in no package registry; what can be held against what is here, is."""
    text = (DOCKER / "kubernetes" / "airflow-values.yaml").read_text()
    values = yaml.safe_load(text)
    manifests = list(yaml.safe_load_all((DOCKER / "kubernetes" / "platform.yaml").read_text()))
    assert values["airflowVersion"] == importlib.metadata.version("apache-airflow")
    known = airflow_options()
    for section, options in values["config"].items():
        assert set(options) <= known[section], section
    (settings,) = [one["data"] for one in manifests if one["kind"] == "ConfigMap"]
    told = {one["name"]: one["value"] for one in values["env"]}
    of_servers = {"HOME", "CXR_LISTEN"}
    assert {name: told.get(name) for name in settings if name not in of_servers} == {
        name: value for name, value in settings.items() if name not in of_servers
    }
    claims = {one["metadata"]["name"] for one in manifests if one["kind"] == "PersistentVolumeClaim"}
    assert {one["persistentVolumeClaim"]["claimName"] for one in values["volumes"] if "secret" not in one} <= claims
    assert {one["name"] for one in values["volumeMounts"]} == {one["name"] for one in values["volumes"]}
    assert values["executor"] == told["CXR_EXECUTOR"]
    installed = re.search(r"helm install (\S+) apache-airflow/airflow", text)
    assert installed and told["CXR_AIRFLOW_HOST"] == f"{installed[1]}-api-server", "as the chart names its services"


def test_the_dashboard_asks_for_metrics_that_are_there():
    dashboard = json.loads((DOCKER / "grafana" / "dashboards" / "cxr.json").read_text())
    recorded = set(re.findall(r"record: (\S+)", (DOCKER / "prometheus" / "rules.yml").read_text()))
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    used = {name for expression in asked for name in re.findall(r"cxr:[a-z0-9_:]+", expression)}
    assert used and used <= recorded


def test_shell_scripts_can_be_read():
    for script in DOCKER.rglob("*.sh"):
        assert said_by("bash", "-n", script) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_right_that_it_does_not_need(name):
    one = SERVICES[name]
    assert "no-new-privileges:true" in one["security_opt"]
    assert one["cap_drop"] == ["ALL"]
    assert one.get("read_only") or name in WRITES
    assert "privileged" not in one
    if name == "rights":
        assert one["network_mode"] == "none"
    else:
        assert one["user"].startswith("${CXR_UID:?"), "not root, and no default"
    assert ("ports" in one) == (name in {"proxy", "grafana"})
    for port in one.get("ports", []):
        assert port.startswith("${CXR_BIND:-127.0.0.1}:"), "loopback unless asked"


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_named_with_its_version(name):
    image = re.fullmatch(r"\$\{CXR_\w*IMAGE:-(.+)\}", SERVICES[name]["image"])
    assert image, "an image can be replaced by a setting"
    assert re.search(r":(\d[\w.-]*|v\d[\w.-]*|local)$", image[1]), image[1]


def test_containers_start_what_there_is():
    started = {tuple(one["command"]) for one in SERVICES.values() if isinstance(one.get("command"), list)}
    programs = {command[-1] for command in started if command[:3] == ("python", "-m", "cxr_tasks.stack.program")}
    assert programs <= set(BY_NAME)
    # The model server is TensorFlow's own, with what fetches its versions beside it.
    assert programs == set(BY_NAME) - {"model-server"}
    queues = " ".join(" ".join(command) for command in started if "cxr_tasks.stack.worker" in command)
    assert all(queue in queues for queue in (*QUEUES.values(), GPU_QUEUE))


def test_a_backup_is_of_all_that_is_kept():
    backup = SERVICES["backup"]
    assert {*SECRETS, *KEYS, AIRFLOW_PASSWORDS, "patient_key"} - {"broker.conf"} <= set(backup["secrets"])
    assert backup["profiles"] == ["backup"], "it starts when it is asked for"
    assert any(one.endswith(":/backups") for one in backup["volumes"])


def test_settings_of_the_containers_are_those_of_the_code():
    settings = {name: value for name, value in SERVICES["scheduler"]["environment"].items() if name.startswith("CXR_")}
    assert set(VARIABLES.values()) <= set(settings)
    filled = {name: re.sub(r"\$\{\w+:-?\??([^}]*)\}", r"\1", value) for name, value in settings.items()}
    engines = Engines.requested({**filled, "CXR_PUBLIC_URL": "https://localhost:8443"})
    assert engines.is_celery and engines.is_postgres and engines.bucket == "cxr"
    networks = [one["networks"] for one in SERVICES.values() if isinstance(one.get("networks"), dict)]
    aliases = {alias for one in networks for alias in one["inside"]["aliases"]}
    assert set(engines.hosts) <= {*SERVICES, *aliases}, "each host is a container, or what several answer to"


def test_generated_secrets_are_those_that_containers_read(tmp_path, monkeypatch):
    write_cluster_env(tmp_path, {})
    made = {one.name for one in (tmp_path / "secrets").iterdir()}
    declared = {Path(one["file"]).name for one in COMPOSE["secrets"].values()}
    assert declared <= made
    assert {*SECRETS, *KEYS, AIRFLOW_PASSWORDS, "patient_key"} <= declared
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= declared, name
    modes = {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "secrets").iterdir()}
    assert modes == {0o600}
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    before = {one: one.read_text() for one in tmp_path.rglob("*") if one.is_file()}
    assert not [one for one in before if one.name == ".env" and re.search(r"(?i)password|secret", before[one])]
    write_cluster_env(tmp_path, {"CXR_SITE": "elsewhere"})
    assert {one: one.read_text() for one in before} == before, "what is there stays"


def test_people_are_told_the_names_and_ports_of_the_proxy(tmp_path):
    write_cluster_env(tmp_path, {"CXR_SITE": "cxr.example.org", "CXR_GRPC_TLS_PORT": "9443"})
    told = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if "=" in line)
    engines = Engines.requested(told)
    assert engines.public_url == "https://cxr.example.org:8443"
    assert engines.public_mlflow_url == "https://cxr.example.org:5443"
    assert engines.public_grpc == "cxr.example.org:9443"
    published = SERVICES["proxy"]["ports"]
    assert all(any(f"${{{name}:-" in port for port in published) for name in told if name.endswith("_PORT"))


def test_no_worker_can_read_a_key_of_the_web_pages_or_airflows_database():
    for name in ("worker-cpu", "worker-release", "worker-gpu", "puller"):
        forbidden = {"airflow_database", "airflow_jwt_secret", "airflow_api_secret_key", "mlflow_database"}
        assert not set(SERVICES[name]["secrets"]) & forbidden


def test_every_variable_of_the_file_is_told_or_has_a_default(tmp_path):
    write_cluster_env(tmp_path, {})
    given = set(re.findall(r"^(\w+)=", (tmp_path / ".env").read_text(), re.MULTILINE))
    asked = re.findall(r"\$\{(\w+)(:[-?])?", (DOCKER / "compose.yaml").read_text())
    assert {name for name, default in asked if default != ":-"} <= given


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_root_gives_the_secrets_to_a_user_without_rights(tmp_path):
    write_cluster_env(tmp_path, {})
    write_cluster_env(tmp_path, {})
    assert {one.stat().st_uid for one in (tmp_path / "secrets").iterdir()} == {50000}


def test_without_an_engine_it_is_said_what_is_needed(tmp_path):
    make = tool("make", "apt-get install make")
    (tmp_path / "docker").symlink_to("/bin/false")
    for name in ("bash", "sh", "env", "grep", "awk"):
        (tmp_path / name).symlink_to(shutil.which(name))
    done = subprocess.run(
        [make, "cluster-status"],
        env={"PATH": str(tmp_path)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "no container engine is found here: expected docker with its compose plugin" in done.stderr
