"""A canary beside the version that serves: its label, its end, and what differs on the same images."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.registry.audit import trail
from serving.export.golden import golden_images
from serving.served.state import read_state
from serving.served.version_folders import versions_on_disk

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]


@pytest.fixture
def other_model(contract, tmp_path_factory):
    """The same contract served by a model with other weights."""
    import keras

    from serving.export.saved_model import export_saved_model

    keras.utils.set_random_seed(5)
    image = keras.Input((32, 32, 1))
    features = keras.layers.Conv2D(6, 5, strides=2, activation="relu", name="features")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(image, keras.layers.Dense(1, name="head")(pooled))
    return export_saved_model(model, contract, tmp_path_factory.mktemp("other") / "9")


def test_a_canary_comes_is_compared_and_goes(platform, other_model):
    from cxr_tasks.registry.overrides import record_override
    from serving.compare.compare import compare
    from serving.release.canary import end_canary, start_canary

    stable = read_state("cxr_binary").stable
    version = platform.new_version(other_model, is_champion=False).version
    asked = {"who": "Dr. A", "why": "more portable images"}
    with pytest.raises(ReleaseRefused, match=f"version {version} may not serve"):
        start_canary("cxr_binary", version, platform.settings, **asked)
    record_override("cxr_binary", version, "Dr. A", "a test")
    start_canary("cxr_binary", version, platform.settings, **asked)
    assert (platform.at("stable"), platform.at("canary")) == (stable, version)
    assert sorted(platform.served()) == sorted([stable, version])
    assert trail.entries("cxr_binary")[-1].kind == "canary_started"

    images = [*golden_images().values(), b"no image"]
    found = compare("cxr_binary", platform.settings, images, "golden images")
    assert (found.stable, found.canary, found.n_images, found.n_refused_by_both) == (stable, version, 14, 1)
    (pneumonia,) = found.findings
    assert pneumonia.n == 13
    own = [platform.predict(one, stable) for one in images[:13]]
    other = [platform.predict(one, version) for one in images[:13]]
    mean = sum(b.probabilities[0] - a.probabilities[0] for a, b in zip(own, other, strict=True)) / 13
    assert pneumonia.mean_difference.value == pytest.approx(mean)
    assert abs(mean) > 1e-4

    # A release goes on beside it.
    released = platform.new_version().version
    platform.release(platform.registered(released))
    assert (platform.at("stable"), platform.at("canary")) == (released, version)

    assert end_canary("cxr_binary", platform.settings, **asked) == version
    assert (platform.at("canary"), platform.served()) == (None, [released])
    assert version not in versions_on_disk("cxr_binary")
    assert trail.entries("cxr_binary")[-1].kind == "canary_ended"
    with pytest.raises(ReleaseRefused, match="expected a canary, found none"):
        end_canary("cxr_binary", platform.settings, **asked)


def test_a_canary_becomes_stable(platform):
    from cxr_tasks.registry.overrides import record_override
    from cxr_tasks.registry.versions import set_alias
    from serving.release.canary import start_canary

    before = read_state("cxr_binary").stable
    registered = platform.new_version(is_champion=False)
    record_override("cxr_binary", registered.version, "Dr. A", "a test")
    start_canary("cxr_binary", registered.version, platform.settings, who="Dr. A", why="")
    set_alias("cxr_binary", "champion", registered.version)
    platform.release(registered)
    assert (platform.at("stable"), platform.at("canary")) == (registered.version, None)
    state = read_state("cxr_binary")
    assert (state.stable, state.previous, state.canary) == (registered.version, before, None)
    with pytest.raises(ReleaseRefused, match=f"found version {registered.version} itself"):
        start_canary("cxr_binary", registered.version, platform.settings, who="Dr. A", why="")
