from __future__ import annotations

import pytest

from cxr_tasks.installation.accelerators import gpu_devices, why_no_gpu


def board(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("files", "devices"),
    [
        ([], []),
        (["dev/nvidiactl", "dev/nvidia-uvm"], []),  # a driver without a GPU
        (["dev/nvidia0", "dev/nvidia1"], ["/dev/nvidia0", "/dev/nvidia1"]),
        (["dev/dxg"], ["/dev/dxg"]),
        (["dev/kfd"], ["/dev/kfd"]),
    ],
)
def test_gpus_are_known_by_their_device_files(tmp_path, files, devices):
    assert gpu_devices(board(tmp_path, *files)) == devices


@pytest.mark.parametrize(
    ("files", "environment", "libraries", "said"),
    [
        ([], {}, True, "no driver of a GPU is loaded (no /dev/nvidia0)"),
        (["dev/nvidia0"], {"CUDA_VISIBLE_DEVICES": "-1"}, True, "CUDA_VISIBLE_DEVICES=-1 hides every GPU"),
        (["dev/nvidia0"], {"CUDA_VISIBLE_DEVICES": ""}, True, "CUDA_VISIBLE_DEVICES= hides every GPU"),
        (["dev/nvidia0"], {}, False, "NVIDIA's libraries are not installed: make PYTHON=... GPU=1"),
        (["dev/nvidia0"], {"CUDA_VISIBLE_DEVICES": "0"}, True, ""),
    ],
)
def test_the_reason_says_what_to_do(tmp_path, files, environment, libraries, said):
    found = why_no_gpu(board(tmp_path, *files), environment, libraries)
    assert found.startswith(said) or said in found
    assert bool(found) == bool(said)
