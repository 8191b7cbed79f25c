"""The client against a server that is busy, slow, gone or of an older export, by both ports and both twins."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import time

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.images.dicom import dicom_as_png
from serving.check.server_process import free_port
from serving.client import Answer, AsyncCxrClient, CxrClient, ImageRefused, NotServed, Refused, RequestRefused, TimedOut
from tests.images.dicom.files import dicom_file
from tests.serving.client.fake_server import IMAGE, VERSION, fake_server

MODEL = "cxr_binary"


@pytest.fixture
def fake():
    with fake_server() as server:
        yield server


class Blocking:
    """``AsyncCxrClient`` driven to the end of each call, so that one test is about both."""

    def __init__(self, address, **options):
        self.loop = asyncio.new_event_loop()
        self.client = AsyncCxrClient(address, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.run_until_complete(self.client.close())
        self.loop.close()

    def __getattr__(self, name):
        return lambda *values, **named: self.loop.run_until_complete(getattr(self.client, name)(*values, **named))

    def predict_many(self, *values, **named):
        async def collected():
            return [one async for one in self.client.predict_many(*values, **named)]

        return self.loop.run_until_complete(collected())


@pytest.fixture(params=["grpc", "rest", "async grpc", "async rest"])
def connect(request, fake):
    """Makes a client of one kind to ``fake``."""
    address = fake.rest_url if "rest" in request.param else fake.grpc_address
    kind = Blocking if "async" in request.param else CxrClient
    return lambda **options: kind(address, **options)


def test_an_answer_is_what_the_model_says(fake, connect):
    fake.typicality = True
    with connect() as client:
        answer = client.predict(MODEL, IMAGE + b"a mark, strange")
        assert answer.labels == ("pneumonia",)
        assert answer.probabilities == pytest.approx((0.23,))
        assert answer.decisions == (False,)
        assert answer.note == "holds a mark"
        assert (answer.typicality, answer.is_unusual) == (pytest.approx(0.001), True)
        assert answer.version in (VERSION, None)  # by REST a label's answer does not tell
        assert client.predict(MODEL, IMAGE, at=VERSION).version == VERSION


def test_a_version_that_measures_no_typicality_has_none(connect):
    with connect() as client:
        answer = client.predict(MODEL, IMAGE)
    assert (answer.typicality, answer.is_unusual, answer.heat_maps) == (None, None, None)


def test_heat_maps_come_where_they_are_asked_for(connect):
    with connect() as client:
        assert client.explain(MODEL, IMAGE).heat_maps.shape == (1, 4, 4)
        with pytest.raises(ImageRefused, match="no image"):
            client.explain(MODEL, b"text")


def test_what_is_no_image_is_refused_and_others_go_on(fake, connect):
    with connect() as client:
        with pytest.raises(ImageRefused, match="no image"):
            client.predict(MODEL, b"text")
        found = list(client.predict_many(MODEL, [IMAGE, b"text", "/absent.png", b"", IMAGE], batch_size=3))
    assert [type(one) for one in found] == [Answer, Refused, Refused, Refused, Answer]
    assert "No such file" in found[2].reason and "empty file" in found[3].reason


@pytest.mark.parametrize("n_at_once", [1, 3])
def test_many_images_keep_their_order_whatever_the_batches(connect, n_at_once):
    images = [IMAGE + b"x" * n for n in range(23)]
    with connect() as client:
        found = list(client.predict_many(MODEL, iter(images), batch_size=4, n_at_once=n_at_once))
    assert [one.probabilities[0] for one in found] == pytest.approx([len(one) / 100 for one in images])


def test_any_number_of_images_in_constant_memory(fake):
    """No more are read than are under way, however slowly answers are taken."""
    read = []

    def images():
        for number in range(1000):
            read.append(number)
            yield IMAGE

    with CxrClient(fake.grpc_address) as client:
        answers = client.predict_many(MODEL, images(), batch_size=4, n_at_once=2)
        next(answers)
        time.sleep(0.1)
        assert len(read) <= 16
        answers.close()


def test_an_older_export_answers_and_tells_bad_images_from_good_ones(fake, connect):
    fake.has_lenient = False
    with connect() as client:
        found = list(client.predict_many(MODEL, [IMAGE, b"text", IMAGE], batch_size=3))
    assert [type(one) for one in found] == [Answer, Refused, Answer]


def test_a_busy_server_is_asked_again(fake, connect):
    fake.fail_with = [("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")] * 3
    with connect() as client:
        assert client.predict(MODEL, IMAGE).labels == ("pneumonia",)
    assert len(fake.requests) == 4


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("INVALID_ARGUMENT", "Input to reshape is a tensor with 3 values"),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (70000000 vs. 67108864)"),
    ],
)
def test_what_is_refused_is_not_asked_again(fake, connect, code, text):
    fake.fail_with = [(code, text)] * 3
    with connect() as client, pytest.raises(RequestRefused, match=text[:20]):
        client.predict(MODEL, IMAGE)
    assert len(fake.requests) == 1


def test_a_slow_server_is_not_asked_again(fake, connect):
    fake.slow_s = 1.0
    with connect(timeout_s=0.3) as client, pytest.raises(TimedOut, match=r"within 0\.3 s"):
        client.predict(MODEL, IMAGE)
    assert len(fake.requests) == 1


def test_a_server_busy_all_the_time_is_an_error_within_the_limit(fake, connect):
    fake.fail_with = [("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")] * 500
    with connect(timeout_s=0.4) as client, pytest.raises(ServiceUnavailable, match="busy"):
        client.predict(MODEL, IMAGE)
    assert len(fake.requests) > 1


@pytest.mark.parametrize("kind", [CxrClient, Blocking])
@pytest.mark.parametrize("scheme", ["", "http://"])
def test_no_server_is_said_with_its_address(kind, scheme):
    address = f"{scheme}127.0.0.1:{free_port()}"
    with kind(address, patience_s=0.1) as client, pytest.raises(ServiceUnavailable, match="found none") as caught:
        client.predict(MODEL, IMAGE)
    assert address in str(caught.value)


def test_a_server_that_comes_back_is_found_again(connect, fake):
    """A connection that broke is made anew: no call is lost to a server that restarts within the patience."""
    with connect(patience_s=10) as client:
        client.predict(MODEL, IMAGE)
        fake.fail_with = [("UNAVAILABLE", "Socket closed")] * 2
        assert client.predict(MODEL, IMAGE).labels == ("pneumonia",)


def test_versions_labels_and_what_is_not_served(connect):
    with connect() as client:
        assert [(one.version, one.state) for one in client.versions(MODEL)] == [(VERSION, "AVAILABLE")]
        assert client.version_at(MODEL) == VERSION
        for at, words in (("canary", "Unrecognized servable version label"), (9, "Servable not found")):
            with pytest.raises(NotServed, match=words):
                client.version_at(MODEL, at)
            with pytest.raises(NotServed, match=words):
                client.predict(MODEL, IMAGE, at=at)


def test_something_else_than_a_model_server_is_said_to_be_so(webhook):
    with CxrClient(f"http://127.0.0.1:{webhook.server_port}") as client, pytest.raises(RequestRefused):
        client.versions(MODEL)


def test_images_come_as_files_bytes_arrays_and_dicom(fake, tmp_path):
    content = dicom_file()
    (tmp_path / "scan").write_bytes(content)
    (tmp_path / "scan.png").write_bytes(IMAGE)
    grey = np.arange(600, dtype=np.uint16).reshape(20, 30)
    images = [
        content,
        tmp_path / "scan",
        str(tmp_path / "scan.png"),
        memoryview(IMAGE),
        grey,
        grey.astype(np.uint8)[..., None],
    ]
    with CxrClient(fake.grpc_address) as client:
        list(client.predict_many(MODEL, images, batch_size=1, n_at_once=1))
    # Pixels alone leave this process: nothing of a DICOM header.
    assert [one for one in fake.images if one.startswith(IMAGE)] == [IMAGE] * 2
    from serving.client.image_bytes import image_bytes

    assert image_bytes(content) == image_bytes(tmp_path / "scan") == dicom_as_png(content)
    import io

    from PIL import Image

    back = Image.open(io.BytesIO(image_bytes(grey)))
    assert np.array_equal(np.asarray(back), grey)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4), np.float32), "uint8 or uint16, found shape"),
        (np.zeros((4, 4, 3), np.uint8), "found shape"),
        (np.zeros((0, 4), np.uint8), "found shape"),
        (None, "found NoneType"),
        ("a\0b", "null"),
        ("/dev/null", "folder, pipe or device"),
    ],
)
def test_what_cannot_be_an_image_is_refused_with_what_came(image, words):
    from serving.client.image_bytes import image_bytes

    with pytest.raises(ImageRefused, match=words):
        image_bytes(image)


def test_both_twins_have_the_same_methods_and_arguments():
    for name in ("predict", "predict_many", "explain", "versions", "version_at"):
        one, other = (inspect.signature(getattr(kind, name)) for kind in (CxrClient, AsyncCxrClient))
        assert one.parameters == other.parameters, name


def test_the_import_is_light():
    """Neither TensorFlow nor what takes a tenth of a second is imported before the first call."""
    code = "import sys, serving.client; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"tensorflow", "numpy", "grpc", "httpx", "requests", "google.protobuf", "pandas", "PIL", "pydicom"}
    assert heavy & set(loaded) == set()


def test_an_answer_needs_no_tensorflow(fake):
    code = (
        "import sys; from serving.client import CxrClient\n"
        f"with CxrClient({fake.grpc_address!r}) as client: client.predict('cxr_binary', {IMAGE!r})\n"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("lacks", ["labels", "probabilities", "decisions"])
def test_a_model_of_others_is_said_to_be_one(fake, connect, lacks):
    fake.lacks = lacks
    with connect() as client, pytest.raises(RequestRefused, match=f"found one without {lacks}"):
        client.predict(MODEL, IMAGE)


@pytest.mark.parametrize("words", ["All bodies together have more than 9 bytes; try again"])
def test_a_server_without_room_is_asked_again_and_then_told_as_busy(fake, words):
    fake.fail_with = [("UNAVAILABLE", words)] * 3
    with CxrClient(fake.rest_url, patience_s=0.0) as client:
        assert client.predict(MODEL, IMAGE).version is None
    fake.fail_with = [("UNAVAILABLE", words)] * 1000
    with CxrClient(fake.rest_url, timeout_s=0.2) as client, pytest.raises(ServiceUnavailable, match="busy for 0.2 s"):
        client.predict(MODEL, IMAGE)


FORKED = """
import asyncio, os, sys
from serving.client import AsyncCxrClient, CxrClient

kind, address, image = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
client = AsyncCxrClient(address) if kind == "async" else CxrClient(address)
loop = asyncio.new_event_loop()

def ask(loop):
    asked = client.predict("cxr_binary", image)
    return loop.run_until_complete(asked) if kind == "async" else asked

ask(loop)
child = os.fork()
if not child:
    ask(asyncio.new_event_loop())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask(loop)
"""


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_processes_of_a_fork_do_not_share_a_connection(fake, kind):
    # Of a shared one either reads what the other was answered: another patient's numbers.
    subprocess.run([sys.executable, "-c", FORKED, kind, fake.rest_url, IMAGE.hex()], check=True, timeout=300)
    first, of_child, last = fake.peers
    assert of_child != first
    assert last == first
