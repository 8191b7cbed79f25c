"""What a client notes of a server that keeps no log: by the real client, writer process and files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.predictions.log import read_log
from serving.client import CxrClient, ImageRefused
from serving.client.notes import PredictionNotes, notes_asked_for
from tests.image_files import encoded, smooth
from tests.serving.client.fake_server import VERSION, fake_server
from tests.waiting import wait_until

PNG = b"\x89PNG"


def pictures(n: int) -> list[bytes]:
    return [encoded(smooth(120, 90, seed=number), "PNG") for number in range(n)]


def noted(n: int):
    """The log once it has ``n`` rows."""
    today = datetime.now(UTC).date()

    def rows():
        return read_log("cxr_binary", today - timedelta(days=1), today)

    wait_until(lambda: len(rows()) >= n, f"{n} rows", tell=rows, pause_s=0.1)
    return rows()


def test_answers_are_noted_with_what_the_server_says_and_the_picture_is(cxr_home):
    with fake_server() as server:
        server.takes = PNG
        with PredictionNotes(flush_s=0.1) as notes, CxrClient(server.grpc_address, notes=notes) as client:
            one = client.predict("cxr_binary", pictures(1)[0])
            several = list(client.predict_many("cxr_binary", [*pictures(5)[1:], b"BMno picture"], at=VERSION))
        rows = noted(5)
    answered = rows[~rows["refused"]]
    assert sorted(answered["probability_pneumonia"]) == pytest.approx(
        sorted([one.probabilities[0], *(answer.probabilities[0] for answer in several[:4])])
    )
    assert set(rows["logged_by"]) == {"client"} and set(rows["version"]) == {VERSION}
    assert set(rows["label"]) == {"stable", f"version {VERSION}"}
    assert answered["pixel_hash"].str.fullmatch("[0-9a-f]{32}").all() and answered["pixel_hash"].is_unique


def test_without_notes_and_of_answers_that_name_no_version_nothing_is_noted(cxr_home, caplog):
    with fake_server() as server:
        server.takes = PNG
        with CxrClient(server.grpc_address) as client:
            client.predict("cxr_binary", pictures(1)[0])
        with PredictionNotes(flush_s=0.1) as notes, CxrClient(server.rest_url, notes=notes) as client:
            for picture in pictures(2):
                client.predict("cxr_binary", picture)
        assert not (cxr_home / "predictions").exists()
    assert caplog.text.count("REST does not say which version answered") == 1


def test_a_full_disk_and_a_refused_image_fail_no_request(cxr_home):
    (cxr_home).mkdir()
    (cxr_home / "predictions").write_text("no folder can be made here")
    with fake_server() as server:
        server.takes = PNG
        with PredictionNotes(flush_s=0.1) as notes, CxrClient(server.grpc_address, notes=notes) as client:
            assert client.predict("cxr_binary", pictures(1)[0]).version == VERSION
            with pytest.raises(ImageRefused):
                client.predict("cxr_binary", b"BMno picture")
            assert client.predict("cxr_binary", pictures(1)[0]).version == VERSION


def test_commands_note_where_the_setting_says_so(cxr_home):
    assert notes_asked_for({}) is None and notes_asked_for({"CXR_CLIENT_LOG": "off"}) is None
    assert isinstance(notes_asked_for({"CXR_CLIENT_LOG": "on"}), PredictionNotes)
    with pytest.raises(ConfigurationError, match="CXR_CLIENT_LOG=yes: expected on or off"):
        notes_asked_for({"CXR_CLIENT_LOG": "yes"})
