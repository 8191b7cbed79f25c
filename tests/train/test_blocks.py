"""Which block of a backbone a layer belongs to."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.tf


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"widths": [4, 6, 8, 10]},
            {"stem": 5, "stem_norm": 5, "block_1_conv_1": 4, "block_2_shortcut": 3, "block_4_2_norm": 1, "head": 0},
        ),
        # Two blocks a stage: the first two are of the lower stage.
        ({"widths": [4, 6], "blocks": 2}, {"stem": 5, "block_1_conv_1": 2, "block_2_conv_2": 2, "block_3_conv_1": 1}),
        # More stages than blocks: the lowest stages go with the stem.
        ({"widths": [4] * 6}, {"stem": 5, "block_1_conv_1": 5, "block_2_conv_1": 5, "block_3_conv_1": 4}),
        ({"widths": [4, 6], "instance_norm_stages": 2, "local_contrast": True}, {"block_2_1_norm": 1, "stem_norm": 5}),
    ],
)
def test_stages_of_the_residual_network(options, expected):
    from cxr_tasks.train.networks.blocks import blocks_of
    from cxr_tasks.train.networks.networks import build_network

    network = build_network("residual_cnn", size_px=128, n_findings=1, options=options)
    found = blocks_of(network)
    assert {name: found[name] for name in expected} == expected
    assert set(found) == {layer.name for layer in network.layers if layer.weights}


def test_a_layer_of_no_block_is_named():
    import keras

    from cxr_tasks.train.networks.blocks import blocks_of

    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="lonely")])
    with pytest.raises(ValueError, match="no known block: lonely"):
        blocks_of(network)
