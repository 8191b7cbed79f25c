"""TensorFlow starts quietly, and does not keep to itself that it found no GPU."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from cxr_tasks.installation import tensorflow_start
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.installation.tensorflow_start import tell_no_gpu

SAID = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795935151.767138   22947 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will "
    "not be used.",
    "I0000 00:00:1795935160.882132   22947 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will "
    "not be used.",
    "E0000 00:00:1795935168.184495   22947 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)",
    "I0000 00:00:1795935151.885541   22947 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use AVX2",
    "2026-11-29 06:11:02.123456: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2431] Cannot dlopen some GPU "
    "libraries.",
]


@pytest.mark.parametrize(("devices", "level"), [([], "INFO"), (["/dev/nvidia0"], "WARNING")])
def test_what_the_start_said_of_drivers_is_told_and_nothing_else(caplog, monkeypatch, devices, level):
    monkeypatch.setattr(tensorflow_start, "gpu_devices", lambda: devices)
    monkeypatch.setattr(tensorflow_start, "why_no_gpu", lambda: "no driver of a GPU is loaded")
    with caplog.at_level(logging.INFO):
        tell_no_gpu(SAID)
    (record,) = caplog.records
    assert record.levelname == level
    assert record.message == (
        "TensorFlow finds no GPU and works on the CPU: no driver of a GPU is loaded; Could not find cuda drivers on "
        "your machine, GPU will not be used.; failed call to cuInit: UNKNOWN ERROR (303); Cannot dlopen some "
        "GPU libraries."
    )


@pytest.mark.tf
def test_a_start_without_a_gpu_says_so_in_the_log_and_nowhere_else():
    """As a task starts it: stderr stays clean, and the log has the reason that was dropped before."""
    code = (
        "import logging, os, sys; logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')\n"
        "from cxr_tasks.installation.tensorflow_start import start_tensorflow\n"
        "start_tensorflow(); print('GROWTH', os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PROJECT_ROOT,
        env={"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(PROJECT_ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "TensorFlow finds no GPU and works on the CPU: CUDA_VISIBLE_DEVICES=-1 hides every GPU" in done.stdout
    assert "GROWTH true" in done.stdout
    assert "cuda" not in done.stderr
