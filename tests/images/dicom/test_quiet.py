from __future__ import annotations

import logging
import threading
import warnings

import pytest
from pydicom import config

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.images.dicom import DicomRefused
from cxr_tasks.images.dicom.quiet import quiet
from tests.waiting import PATIENCE_S


@pytest.fixture(autouse=True)
def usual_settings(monkeypatch):
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.WARN)
    logging.getLogger("pydicom").setLevel(logging.INFO)
    yield
    logging.getLogger("pydicom").setLevel(logging.NOTSET)


def is_as_before() -> bool:
    return config.settings.reading_validation_mode == config.WARN and logging.getLogger("pydicom").level == logging.INFO


def speak() -> None:
    logging.getLogger("pydicom").error("Doe^Jane")
    logging.getLogger("pydicom.pixels").warning("Doe^Jane")
    warnings.warn("Doe^Jane", stacklevel=1)


def test_nothing_is_said_inside_and_all_is_as_before_after_it(caplog):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with quiet():
            speak()
            assert not is_as_before()
    assert caplog.text == ""
    assert warned == []
    assert is_as_before()


def test_an_unforeseen_error_becomes_a_refusal_that_tells_its_kind_only():
    with pytest.raises(DicomRefused, match="KeyError") as caught, quiet():
        raise KeyError("Doe^Jane")
    assert "Jane" not in str(caught.value)
    assert caught.value.__suppress_context__  # a traceback does not show it either
    assert is_as_before()


@pytest.mark.parametrize("error", [DicomRefused("colour", "x", "y"), DataDefect("not the file's fault")])
def test_our_own_errors_pass(error):
    with pytest.raises(type(error)) as caught, quiet():
        raise error
    assert caught.value is error


def test_being_stopped_is_no_fault_of_the_file():
    with pytest.raises(KeyboardInterrupt), quiet():
        raise KeyboardInterrupt
    assert is_as_before()


def test_it_stays_quiet_until_the_last_thread_has_left(caplog):
    is_inside, may_leave = threading.Event(), threading.Event()
    seen = []

    def stay():
        with quiet():
            is_inside.set()
            may_leave.wait(PATIENCE_S)
            speak()
            seen.append(is_as_before())

    other = threading.Thread(target=stay)
    other.start()
    assert is_inside.wait(PATIENCE_S)
    with quiet():
        pass
    assert not is_as_before()
    may_leave.set()
    other.join()
    assert seen == [False]
    assert caplog.text == ""
    assert is_as_before()
