"""The recorded stories of a real server (versions that come and go, labels, reloads), replayed with ours."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.serving, pytest.mark.tf]

STORIES = (
    "versions come and go",
    "labels",
    "labels, unavailable allowed",
    "model list is reloaded",
    "a broken version",
    "a broken version with load threads",
    "a version whose warm-up fails",
    "latest two versions",
    "config file is polled",
    "a reload that waits",
)

#: For a state that is to come.

# (story, position of the step) -> what ours answers: the real server keeps every later reload waiting behind one whose
# base path is missing, and applies it when nobody waits for it any more. Ours takes the later reload at once.
OTHERWISE: dict[tuple[str, int], dict[str, Any]] = {
    ("a reload that waits", 2): {"code": "OK", "message": ""},
    ("a reload that waits", 3): {"code": "OK", "message": ""},
    ("a reload that waits", 4): {"code": "OK", "message": "", "states": [["1", "AVAILABLE", 0, ""]]},
    ("a reload that waits", 6): {"action": "wait", "seconds": 2, "seen": [{"states": []}]},
}


@pytest.mark.parametrize("name", STORIES)
def test_recorded_story_goes_alike(golden, serve, call, differences, tmp_path, name):
    story = next(
        one for one in json.loads((golden / "transcripts" / "sequences.json").read_text()) if one["name"] == name
    )
    stage = Stage(golden, tmp_path, call, differences)
    stage.set_up(story)
    stage.server = serve(story["flags"], tmp_path)
    found = []
    for position, step in enumerate(story["steps"]):
        why = stage.play(step | OTHERWISE.get((name, position), {}))
        found += [f"step {position}, {step['action']} {step.get('method', '')}: {why}"] if why else []
    assert not found, "\n".join(found)


def test_every_recorded_story_is_replayed(golden):
    assert [one["name"] for one in json.loads((golden / "transcripts" / "sequences.json").read_text())] == list(STORIES)


class Stage:
    """A folder with models that come and go, a server that watches it, and the steps of a story."""

    def __init__(self, golden: Path, base: Path, call: Callable[..., Any], differences: Callable[..., str]) -> None:
        self.golden, self.base, self.call, self.differences = golden, base, call, differences
        self.server: Any = None

    def set_up(self, story: dict[str, Any]) -> None:
        (self.base / "configs").mkdir()
        (self.base / "live").mkdir()
        (self.base / "configs" / "live.config").write_text(story["config_file"].replace("$BASE", str(self.base)))
        for one in story["start_with"]:
            self.publish(one)

    def play(self, step: dict[str, Any]) -> str:
        """Does one step; says what differs from the recording."""
        action = {"call": "call_"}.get(step["action"], step["action"].replace(" ", "_"))
        return getattr(self, action)(step) or ""

    def path(self, text: str) -> Path:
        return Path(text.replace("$BASE", str(self.base)))

    def source(self, step: dict[str, Any]) -> Path:
        return Path(step["copy_of"].replace("$BASE", str(self.golden)))

    def publish(self, step: dict[str, Any]) -> None:
        target = self.path(step["path"])
        aside = self.base / "live" / f"_{target.name}"
        shutil.copytree(self.source(step), aside, copy_function=shutil.copyfile)
        target.parent.mkdir(exist_ok=True)
        aside.chmod(0o755)
        aside.rename(target)

    def make_empty_folder(self, step: dict[str, Any]) -> None:
        self.path(step["path"]).mkdir()

    def fill_folder(self, step: dict[str, Any]) -> None:
        shutil.copytree(self.source(step), self.path(step["path"]), copy_function=shutil.copyfile, dirs_exist_ok=True)

    def delete(self, step: dict[str, Any]) -> None:
        for folder in self.path(step["path"]).rglob("*"):
            if folder.is_dir():
                folder.chmod(0o755)
        shutil.rmtree(self.path(step["path"]))

    def write_config_file(self, step: dict[str, Any]) -> None:
        aside = self.base / "configs" / "next.config"
        aside.write_text(step["config"].replace("$BASE", str(self.base)))
        aside.rename(self.base / "configs" / "live.config")

    def call_(self, step: dict[str, Any]) -> str:
        request = base64.b64decode(step["request"] or "")
        code, message, answer = self.call(self.server, step["service"], step["method"], request)
        why = self.differences(step, code, message, answer, self.base)
        if not why and "states" in step:
            states = self.states(answer)
            why = "" if states == step["states"] else f"states {states} instead of {step['states']}"
        return why

    def reload(self, step: dict[str, Any]) -> str:
        from google.protobuf import text_format
        from tensorflow_serving.apis import model_management_pb2

        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(step["config"].replace("$BASE", str(self.base)), request.config)
        code, message, answer = self.call(
            self.server,
            "tensorflow.serving.ModelService",
            "HandleReloadConfigRequest",
            request.SerializeToString(),
            step["client_deadline_s"],
        )
        return self.differences(step | {"method": "HandleReloadConfigRequest"}, code, message, answer, self.base)

    def wait(self, step: dict[str, Any]) -> str:
        time.sleep(step["seconds"])
        end = time.monotonic() + (PATIENCE_S if len(step["seen"]) > 1 else 0)  # only where a change was seen
        while (why := self.compare_last(step)) and time.monotonic() < end:
            time.sleep(0.05)
        return why

    def wait_until(self, step: dict[str, Any]) -> str:
        # How long the real server was given is not what the story tells, and another machine may be busy.
        end = time.monotonic() + max(step["timeout_s"], PATIENCE_S)
        while time.monotonic() < end:
            states = {one[0]: one[1] for one in self.status(step["model"])}
            if all(states.get(version) == state for version, state in step["states"].items()):
                return self.compare_last(step)
            time.sleep(0.05)
        return f"not reached: {step['states']}; states {self.status(step['model'])}"

    def compare_last(self, step: dict[str, Any]) -> str:
        states, expected = self.status(step["model"]), step["seen"][-1]["states"]
        return "" if states == expected else f"states {states} instead of {expected}"

    def status(self, model: str) -> list[list[Any]]:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        answer = self.call(
            self.server, "tensorflow.serving.ModelService", "GetModelStatus", request.SerializeToString()
        )[2]
        return self.states(answer)

    def states(self, answer: bytes | None) -> list[list[Any]]:
        from tensorflow_serving.apis import get_model_status_pb2

        response = get_model_status_pb2.GetModelStatusResponse.FromString(answer or b"")
        name_of = get_model_status_pb2.ModelVersionStatus.State.Name
        return [
            [
                str(one.version),
                name_of(one.state),
                one.status.error_code,
                one.status.error_message.replace(str(self.base), "$BASE"),
            ]
            for one in response.model_version_status
        ]
