"""Heat maps of one model for images of a stored split, asked for by id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cxr_tasks.datasets.load import StoredSplit
    from cxr_tasks.explain.cam import GradCam
    from cxr_tasks.explain.localise import MarkedBox

#: Images whose maps are in memory at a time.
PART = 128


@dataclass(frozen=True, slots=True)
class KnownMaps:
    """Heat maps of one model for the images of a stored split, by their place in it.

    Where one pass gives the maps of all outputs, an image that was asked for before is not computed again.
    """

    cam: GradCam
    stored: StoredSplit
    known: dict[int, np.ndarray] = field(default_factory=dict)
    """Place of an image -> its maps of all outputs, float32 ``(k, h, w)``."""

    def of(self, places: Sequence[int], output: int) -> np.ndarray:
        """Maps float32 ``(n, h, w)`` of one output, in the order of ``places``; at least 0, on no common scale."""
        import numpy as np

        if not self.cam.is_closed_form:
            return self.cam.maps(self.stored.images[list(places)], output)
        missing = [place for place in dict.fromkeys(places) if place not in self.known]
        if missing:
            self.known.update(zip(missing, self.cam.all_maps(self.stored.images[missing]), strict=True))
        maps = [self.known[place][output] for place in places]
        return np.stack(maps) if maps else np.empty((0, *self.cam.cells), np.float32)


@dataclass(frozen=True, slots=True)
class HeatMaps:
    """Heat maps of one output of a model, for images of one stored split asked for by id."""

    maps: KnownMaps
    output: int

    @property
    def stored(self) -> StoredSplit:
        return self.maps.stored

    def of(self, image_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 ``(n, size, size)`` and their heat, float of the same shape in [0, 1], each map by its maximum.

        Raises:
            KeyError: An id is not of this split.
        """
        import numpy as np

        from cxr_tasks.explain.maps import enlarged, normalised

        by_id = {name: place for place, name in enumerate(self.stored.rows["image_id"])}
        places = [by_id[name] for name in image_ids]
        images = self.stored.images[places]
        size_px = images.shape[1]
        maps = normalised(self.maps.of(places, self.output))
        heat = np.stack([enlarged(cells, size_px) for cells in maps]) if len(maps) else np.empty((0, size_px, size_px))
        return images[..., 0], heat

    def boxes(self, finding: str) -> dict[str, list[MarkedBox]]:
        """Boxes of ``finding`` by image id, in pixels of the stored square; images without one are left out."""
        boxes_of: dict[str, list[MarkedBox]] = {}
        for image_id, text in zip(self.stored.rows["image_id"], self.stored.rows["boxes"], strict=True):
            boxes = [box for box in json.loads(text) if box["finding"] == finding]
            if boxes:
                boxes_of[image_id] = boxes
        return boxes_of

    def heat_by_part(self, image_ids: Sequence[str]) -> Iterator[np.ndarray]:
        """Heat of each image in their order, float ``(size, size)`` in [0, 1]; ``PART`` of them in memory at a time."""
        for start in range(0, len(image_ids), PART):
            yield from self.of(image_ids[start : start + PART])[1]
