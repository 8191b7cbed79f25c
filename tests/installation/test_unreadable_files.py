"""A disk that fails or a right that is missing is not told as damage: its remedy would be to take good files away."""

from __future__ import annotations

import errno
import logging
import re
from pathlib import Path

import pytest

from cxr_tasks.backup.reading import read_manifest
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.datasets.content import read_rows_of_content
from cxr_tasks.evaluate.table import read_predictions
from cxr_tasks.installation.storage.files import is_of_the_system
from cxr_tasks.installation.storage.tables import read_table
from cxr_tasks.labels.store import all_labels, feedback_root
from cxr_tasks.predictions.log import append_rows, model_folder, read_log
from cxr_tasks.train.loop.resume import STATE_FILE, load_state
from cxr_tasks.train.loop.validation_logits import ValidationLogits
from cxr_tasks.train.weights.load_weights import read_layer_weights
from tests.predictions.served_rows import AT, make_row


def read_network(path: Path) -> None:
    from cxr_tasks.train.networks.saved import load_model

    load_model(path, size_px=64, n_findings=1)


READERS = {
    "table": ("a.parquet", lambda path: read_table(path, "a table")),
    "predictions": ("a.parquet", lambda path: read_predictions(path, ("pneumonia",))),
    "content": ("a.parquet", read_rows_of_content),
    "validation": ("a.npz", ValidationLogits.read),
    "state": (STATE_FILE, lambda path: load_state(path.parent)),
    "weights": ("a.weights.h5", read_layer_weights),
    "network": ("a.keras", read_network),
    "backup": ("a.cxr", read_manifest),
}


def link_to_itself(path: Path) -> None:
    """What root may not read either: the system refuses it with ELOOP, as it refuses a broken disk with EIO."""
    path.symlink_to(path.name)


@pytest.mark.parametrize("reader", READERS)
def test_what_the_system_refuses_is_not_told_as_damage(tmp_path, reader):
    name, read = READERS[reader]
    link_to_itself(tmp_path / name)
    with pytest.raises(OSError, match="symbolic links") as refused:
        read(tmp_path / name)
    assert refused.value.errno == errno.ELOOP


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PK\x03\x04 half", b"\x1f\x8b\x08 half"])
def test_damage_is_told_with_the_name_of_the_file(tmp_path, reader, content):
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(content)
    with pytest.raises((DataDefect, ConfigurationError), match=f"{re.escape(name)}: expected"):
        read(tmp_path / name)


def test_labels_that_the_system_refuses_are_not_to_be_taken_away(cxr_home):
    folder = feedback_root() / "cxr_binary"
    folder.mkdir(parents=True)
    link_to_itself(folder / "a.parquet")
    with pytest.raises(OSError, match="symbolic links"):
        all_labels("cxr_binary")


@pytest.mark.parametrize(("target", "said"), [("broken.parquet", "symbolic links"), ("nowhere", "a link to nothing")])
def test_a_link_among_the_files_of_the_log_is_left_out(cxr_home, caplog, target, said):
    append_rows([make_row()])
    (model_folder("cxr_binary") / AT.date().isoformat() / "broken.parquet").symlink_to(target)
    with caplog.at_level(logging.WARNING):
        assert len(read_log("cxr_binary", AT.date(), AT.date())) == 1
    assert "broken.parquet is left out" in caplog.text and said in caplog.text


def test_errors_of_tensorflow_are_told_apart(tmp_path):
    import tensorflow as tf

    link_to_itself(tmp_path / "refused")
    (tmp_path / "damaged").write_bytes(b"no records of TFRecord")
    told = {}
    for name in ("refused", "damaged", "absent"):
        with pytest.raises(tf.errors.OpError) as error:
            list(tf.data.TFRecordDataset(str(tmp_path / name)))
        told[name] = is_of_the_system(error.value)
    assert told == {"refused": True, "damaged": False, "absent": False}
