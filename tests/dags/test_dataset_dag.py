"""The first task of a dataset run: nothing is listed for a training that cannot begin."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.dags.test_dags import DAGS

pytestmark = pytest.mark.airflow_db

_PROBE = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from airflow.dag_processing.dagbag import DagBag
from cxr_tasks.train.weights import starting_weights
with socket.create_server(("127.0.0.1", 0)) as server:
    starting_weights.IMAGENET_URL = f"http://127.0.0.1:{server.getsockname()[1]}/weights.h5"
bag = DagBag(dag_folder=sys.argv[1] + "/cxr_dataset.py")
assert not bag.import_errors, bag.import_errors
list_images = bag.dags["cxr_dataset_multilabel"].get_task("list_images").python_callable
asked = {"recipe": "nih_densenet121", "data_folder": "/nowhere", "allow_cpu": sys.argv[2] == "allowed"}
for shared in (list_images, list_images.__globals__["recipe_asked_for"]):
    shared.__globals__["asked_for"] = lambda: asked
list_images.__globals__["run_paths"] = lambda: None
try:
    list_images()
except Exception as error:
    print("RESULT", type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ("allowed", ["train.starting_weights: imagenet", "cannot be downloaded from here"]),
        ("not", ["recipe nih_densenet121 is made for a GPU", "'Allow CPU' in the trigger form"]),
    ],
)
def test_what_the_training_lacks_ends_the_run_before_the_data_are_looked_at(tmp_path, allowed, said):
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(DAGS), allowed],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(DAGS / "plugins"),
            "CXR_HOME": str(tmp_path / "var"),
            "HOME": str(tmp_path),
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        cwd=DAGS.parent,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = done.stdout.split("RESULT")[-1]
    assert told.startswith(f" ConfigurationError {said[0]}") and said[1] in told
