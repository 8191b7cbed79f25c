"""The client, plain stubs and command lines against a real model server: all say the same of the same image."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.client import AsyncCxrClient, CxrClient, Refused, RequestRefused
from serving.export.golden import golden_images
from tests.images.dicom.files import dicom_file, ramp

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]

README = Path(__file__).resolve().parents[2] / "serving" / "README.md"
MODEL = "cxr_binary"


@pytest.fixture
def addresses(platform):
    return platform.settings.grpc_address, platform.settings.rest_url


def test_both_ports_and_both_twins_say_the_same(platform, addresses):
    images = list(golden_images().values())
    (version,) = platform.served()

    async def awaited(address):
        async with AsyncCxrClient(address) as client:
            return [one async for one in client.predict_many(MODEL, images, at=version)]

    found = []
    for address in addresses:
        with CxrClient(address) as client:
            found.append(list(client.predict_many(MODEL, images, at=version)))
            assert client.version_at(MODEL) == version
            assert "explain" in client.signatures(MODEL)
        found.append(asyncio.run(awaited(address)))
    assert {one.version for one in found[0]} == {version}
    assert len({one.probabilities for one in found[0]}) > 5
    for other in found[1:]:
        assert [one.labels for one in other] == [one.labels for one in found[0]]
        # A batch of another size is added up in another order.
        np.testing.assert_allclose(
            [one.probabilities for one in other], [one.probabilities for one in found[0]], rtol=0, atol=1e-5
        )


def test_files_arrays_and_dicom_reach_the_model_as_the_same_pixels(addresses):
    from PIL import Image

    pixels = ramp(200, 260)
    with CxrClient(addresses[0]) as client:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        sent = [stream.getvalue(), pixels, dicom_file(pixels), pixels.astype(np.uint16)]
        answers = list(client.predict_many(MODEL, sent))
    assert len({one.probabilities for one in answers}) == 1


def test_a_bad_image_costs_no_other_its_answer(addresses):
    good = golden_images()["wide_rgb.jpeg"]
    for address in addresses:
        with CxrClient(address) as client:
            found = list(client.predict_many(MODEL, [good, b"no image", good]))
            assert isinstance(found[1], Refused) and "\n" not in found[1].reason
            assert found[0] == found[2]
            with pytest.raises(RequestRefused):
                client.outputs(MODEL, [good, b"no image"])
            assert client.explain(MODEL, good).heat_maps.shape[0] == 1


# --- the examples of serving/README.md, as they stand there


def example(language: str, holds: str) -> str:
    """The block of that language in the README with ``holds`` in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [one for one in blocks if holds in one]
    return found


@pytest.fixture
def run_example(platform, tmp_path):
    """Runs a block in a folder with ``scan1.jpeg``, against the running server; gives what it prints."""
    image = golden_images()["wide_rgb.jpeg"]
    (tmp_path / "scan1.jpeg").write_bytes(image)

    def run(text: str, *command: str) -> str:
        ports = {"8500": platform.settings.grpc_port, "8501": platform.settings.rest_port}
        for usual, port in ports.items():
            text = text.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{port}")
        (tmp_path / "example").write_text(text)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(README.parents[1])}
        done = subprocess.run(
            [*command, "example"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def probability(platform) -> float:
    with CxrClient(platform.settings.grpc_address) as client:
        return client.predict(MODEL, golden_images()["wide_rgb.jpeg"]).probabilities[0]


@pytest.mark.parametrize("holds", ["with CxrClient(", "asyncio.run(", "tensorflow_serving.apis"])
def test_the_python_examples_run(platform, run_example, holds):
    printed = run_example(example("python", holds), sys.executable)
    numbers = [float(one) for one in re.findall(r"0\.\d+", printed)]
    assert any(abs(one - probability(platform)) < 1e-3 for one in numbers), printed


@pytest.mark.parametrize(("tool", "holds"), [("curl", "curl -sS"), ("grpcurl", "grpcurl -plaintext")])
def test_the_shell_examples_run(platform, run_example, tool, holds):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not on PATH, and Debian has no package of grpcurl")
    printed = run_example(example("sh", holds), "bash", "-euo", "pipefail")
    numbers = [float(one) for one in re.findall(r"0\.\d+", printed)]
    assert any(abs(one - probability(platform)) < 1e-3 for one in numbers), printed
