"""Parts of a network that phases and heat maps speak of: blocks of the backbone counted from the top, and the head."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

#: Names that evaluation, heat maps and phases look for.
FEATURES_LAYER = "features"
POOL_LAYER = "pool"
HEAD_LAYER = "head"

#: The lowest block of any network (the stem), so that ``unfrozen_blocks: 5`` is always all of it.
LOWEST_BLOCK = 5

#: DenseNet121: a transition (pool2 to pool4) goes with the dense block before it, the last normalisation with conv5.
_DENSENET_BLOCKS = (
    (re.compile(r"conv5_|bn$"), 1),
    (re.compile(r"conv4_|pool4_"), 2),
    (re.compile(r"conv3_|pool3_"), 3),
    (re.compile(r"conv2_|pool2_"), 4),
    (re.compile(r"conv1_"), LOWEST_BLOCK),
)


def blocks_of(network: keras.Model) -> dict[str, int]:
    """Layer name -> block, for every layer with weights: 0 the head, 1 the last block of the backbone, ... 5 the stem.

    DenseNet121 has its four dense blocks and the stem; the residual CNN its stages and the stem, where more than four
    stages leave the lowest ones in block 5.

    Raises:
        ValueError: A layer with weights fits no block; a network was added without its blocks.
    """
    names = [layer.name for layer in network.layers if layer.weights]
    n_stages = 1 + sum(layer.name.startswith("halve_") for layer in network.layers)
    n_blocks = sum(bool(re.fullmatch(r"block_\d+_add", layer.name)) for layer in network.layers)
    blocks = {name: _block(name, n_stages, max(n_blocks // n_stages, 1)) for name in names}
    unknown = [name for name, block in blocks.items() if block is None]
    if unknown:
        raise ValueError(f"network {network.name}: layers of no known block: {', '.join(unknown)}")
    return {name: block for name, block in blocks.items() if block is not None}


def _block(name: str, n_stages: int, blocks_per_stage: int) -> int | None:
    if name == HEAD_LAYER:
        return 0
    if name.startswith("stem"):
        return LOWEST_BLOCK
    if match := re.match(r"block_(\d+)_", name):
        stage = (int(match[1]) - 1) // blocks_per_stage
        return min(n_stages - stage, LOWEST_BLOCK)
    return next((block for pattern, block in _DENSENET_BLOCKS if pattern.match(name)), None)
