"""What a task inherits: a forked process works with the libraries that the scheduler imported before the fork."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.mlflow, pytest.mark.gx]

_FORKED = """
import os, sys, threading
from cxr_tasks.stack.servers.scheduler import SHARED, import_shared
import_shared()
ours = sorted(name for name in sys.modules if name.split(".")[0] in ("cxr_tasks", "serving", "expectations"))
assert ours == [
    "cxr_tasks", "cxr_tasks.stack", "cxr_tasks.stack.servers", "cxr_tasks.stack.servers.scheduler"
], ours
assert not {"tensorflow", "keras"} & set(sys.modules)
assert threading.enumerate() == [threading.main_thread()]
child = os.fork()
if child == 0:
    import numpy as np, pandas as pd
    from sklearn.metrics import roc_auc_score
    from mlflow import MlflowClient
    import great_expectations as gx
    from great_expectations.expectations import ExpectColumnValuesToNotBeNull

    # Threads of the linear algebra and of Arrow do not live on in a fork: both must have started new ones.
    assert np.allclose(np.eye(600) @ np.ones((600, 600)), 1)
    table = pd.DataFrame({"y": [0, 1, 1, None], "score": [0.1, 0.8, 0.7, 0.2]})
    table.to_parquet(sys.argv[1] + "/t.parquet")
    assert len(pd.read_parquet(sys.argv[1] + "/t.parquet")) == 4
    assert roc_auc_score([0, 1], [0.2, 0.7]) == 1
    client = MlflowClient("sqlite:///" + sys.argv[1] + "/mlflow.db")
    assert client.create_experiment("forked")
    batch = gx.get_context(mode="ephemeral").data_sources.add_pandas("t").add_dataframe_asset("t")
    batch = batch.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
    assert batch.validate(ExpectColumnValuesToNotBeNull(column="y")).result["unexpected_count"] == 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("forked and worked")
"""


@pytest.mark.timeout(300)
def test_a_forked_task_works_with_what_it_inherits(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _FORKED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.stdout.endswith("forked and worked\n"), done.stdout + done.stderr[-3000:]
