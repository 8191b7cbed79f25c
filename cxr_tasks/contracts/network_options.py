"""What a recipe can set of a network, under ``train.network_options``; read without Keras, with the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError, chosen
from cxr_tasks.contracts.shapes import build


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualCnnOptions:
    """``network_options`` of ``residual_cnn``."""

    widths: tuple[int, ...] = (24, 48, 96, 160)
    """Channels of each stage; each stage works on half the side of the one before."""
    blocks: int = 1
    """Residual blocks per stage, of two 3x3 convolutions each."""
    stem_stride: int = 2
    instance_norm_stages: int = 0
    """First stages whose blocks normalise each image by itself instead of over the batch."""
    local_contrast: bool = False
    """Also give the network the image with its local mean and deviation taken out."""
    dropout: float = 0.0
    """Of the pooled features, while training."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1 or self.blocks < 1 or self.stem_stride not in {1, 2, 4}:
            raise ConfigurationError(
                f"expected positive widths and blocks and a stem_stride of 1, 2 or 4, found {self}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigurationError(f"dropout: expected a value from 0 to below 1, found {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseNetOptions:
    """``network_options`` of ``densenet121``."""

    dropout: float = 0.0
    """Of the pooled features, while training."""
    batch_norm_momentum: float = 0.9
    """With few steps per epoch Keras' default of 0.99 leaves validation at chance for many epochs."""

    def __post_init__(self) -> None:
        for name in ("dropout", "batch_norm_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"{name}: expected a value from 0 to below 1, found {getattr(self, name)}")


NETWORK_OPTIONS: dict[str, type[Any]] = {"residual_cnn": ResidualCnnOptions, "densenet121": DenseNetOptions}


def options_from(network: str, options: dict[str, Any]) -> Any:
    """``options`` as the dataclass of ``network``, defaults included.

    Raises:
        ConfigurationError: The network or an option is not known, or a value is not right.
    """
    return build(chosen(NETWORK_OPTIONS, network, "train.network"), options, "train.network_options")
