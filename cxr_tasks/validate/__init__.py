"""Stage validate: whether a manifest is what training may rely on."""

from cxr_tasks.validate.stage import validate_manifest

__all__ = ["validate_manifest"]
