from __future__ import annotations

import pytest

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]


def test_a_training_that_a_clock_ended_says_so_on_its_run(cxr_home, caplog):
    from cxr_tasks.registry.tracking import client, open_run
    from cxr_tasks.train.loop.progress import Progress
    from cxr_tasks.train.loop.watch import Watcher

    record = {"epoch": 1, "val_score": 0.9, "loss": 0.5}
    told = {}
    for name, is_clock in (("by itself", False), ("by a clock", True)):
        with open_run("cxr_binary", name) as run:
            stopped = {"stopped_by": "20 minutes have passed", "was_ended_by_clock": is_clock}
            Watcher(run, 40).end(Progress([record], best_epoch=1, **stopped))
        told[name] = client().get_run(run.run_id).data.tags.get("cxr.warning")
    assert told["by itself"] is None
    assert told["by a clock"].startswith("A clock ended training after epoch 1 of 40 (20 minutes have passed).")
    warned = [one.message for one in caplog.records if one.levelname == "WARNING" and one.name.startswith("cxr_tasks")]
    assert warned == [told["by a clock"]]


def test_the_line_of_an_epoch_says_where_training_stands():
    from cxr_tasks.train.loop.progress import Progress
    from cxr_tasks.train.loop.watch import epoch_line

    record = {"epoch": 2, "loss": 0.5, "val_loss": 0.4, "val_auroc": 0.95, "images_per_second": 118.2, "seconds": 10.0}
    progress = Progress(history=[{**record, "epoch": 1, "seconds": 30.0}, record], best_epoch=2, seconds=40.0)
    assert epoch_line(progress, 4) == (
        "epoch 2/4  loss 0.5000  val_loss 0.4000  val_auroc 0.9500 (best)  118 img/s  about 40 s left"
    )
    progress.best_epoch = 1
    assert "(best: epoch 1)" in epoch_line(progress, 4)
