from __future__ import annotations

import pytest

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]


def test_the_line_of_an_epoch_says_where_training_stands():
    from cxr_tasks.train.progress import Progress
    from cxr_tasks.train.watch import epoch_line

    record = {"epoch": 2, "loss": 0.5, "val_loss": 0.4, "val_auroc": 0.95, "images_per_second": 118.2, "seconds": 10.0}
    progress = Progress(history=[{**record, "epoch": 1, "seconds": 30.0}, record], best_epoch=2, seconds=40.0)
    assert epoch_line(progress, 4) == (
        "epoch 2/4  loss 0.5000  val_loss 0.4000  val_auroc 0.9500 (best)  118 img/s  about 40 s left"
    )
    progress.best_epoch = 1
    assert "(best: epoch 1)" in epoch_line(progress, 4)
