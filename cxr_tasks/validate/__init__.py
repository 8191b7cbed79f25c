"""Stage validate: whether manifest, stored dataset and predictions are what later stages may rely on."""

from cxr_tasks.validate.stage import validate_manifest

__all__ = ["validate_manifest"]
