"""Pages of what was seen: one look, all looks of a version with their trend, and the list of versions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.shapes import build
from cxr_tasks.installation.storage.files import read_json, write_text
from cxr_tasks.installation.storage.paths import monitor_root
from cxr_tasks.monitor.drift import LARGE_POINTS, LARGE_PSI, LARGE_RATIO, MIN_IMAGES
from cxr_tasks.monitor.looks import ALPHA_A_YEAR, LOOKS_A_YEAR
from cxr_tasks.monitor.record import LIVE_FILE, STATE_FILE, LookLine, LookRecord, State
from cxr_tasks.report.page.plots import MODEL, SECOND, svg_of
from cxr_tasks.report.pages import environment, stylesheet

log = logging.getLogger(__name__)

PAGE = "index.html"
BADGES = {"none": "PASS", "drift": "FAIL", "too few": "NOT_APPLICABLE"}
WORDS = {"none": "no drift", "drift": "drift", "too few": "too few to say"}
#: Looks that a trend shows.
SHOWN = 180


def write_pages(record: LookRecord, state: State, folder: Path) -> Path:
    """Write the look's page, its version's, and the list; the look's page."""
    page = folder / PAGE
    write_text(page, _rendered("look.html.j2", look=record, rows=_sorted(record)))
    write_version_page(state, folder.parent)
    write_text(monitor_root() / PAGE, _rendered("monitor.html.j2", rows=_versions()))
    return page


def write_version_page(state: State, folder: Path) -> Path:
    """Write the page of a version: its looks, and what it is worth on labels that came back (``LIVE_FILE``)."""
    looks = [(look, f"{Path(look.folder).name}/{PAGE}") for look in reversed(state.looks)]
    live = read_json(folder / LIVE_FILE) if (folder / LIVE_FILE).exists() else None
    page = folder / PAGE
    write_text(page, _rendered("looks.html.j2", state=state, looks=looks, trend=trend_of(state.looks), live=live))
    return page


def _rendered(template: str, **values: Any) -> str:
    jinja = environment()
    jinja.filters["finding"] = display_name
    return jinja.get_template(template).render(
        css=stylesheet(), badges=BADGES, words=WORDS, min_images=MIN_IMAGES, large_psi=LARGE_PSI,
        large_ratio=LARGE_RATIO, large_points=LARGE_POINTS, alpha_a_year=ALPHA_A_YEAR, looks_a_year=LOOKS_A_YEAR,
        **values,
    )  # fmt: skip


def _sorted(record: LookRecord) -> list:
    return sorted(record.rows, key=lambda row: (not row.drifts, row.adjusted_p))


def _versions() -> list[tuple[State, LookLine | None, str]]:
    """State, last daily look and address of each version, the one looked at last first.

    A version whose state cannot be read is left out with a word: the look at another is not to fail for it.
    """
    models = []
    for path in monitor_root().glob(f"*/*/{STATE_FILE}"):
        try:
            state = build(State, read_json(path), str(path))
        except CxrError as error:
            log.warning("left out of the list of versions: %s", error)
            continue
        last = next((look for look in reversed(state.looks) if look.is_regular), None)
        models.append((state, last, f"{path.parent.relative_to(monitor_root()).as_posix()}/{PAGE}"))
    return sorted(models, key=lambda row: row[1].day if row[1] else "", reverse=True)


def trend_of(looks: Sequence[LookLine]) -> Markup:
    """The last daily looks as a picture: the largest PSI, the estimated AUROC, and the images of the window."""
    shown = [look for look in looks if look.is_regular][-SHOWN:]
    if len(shown) < 2:
        return Markup("")
    days = [date.fromisoformat(look.day) for look in shown]

    def draw(figure: Figure) -> None:
        psi, auroc, images = figure.subplots(3, 1, sharex=True)
        psi.plot(days, [look.largest_psi for look in shown], color=MODEL, marker=".", markersize=4)
        psi.axhline(LARGE_PSI, color=SECOND, linewidth=0.8, linestyle="--")
        drifting = [(day, look.largest_psi) for day, look in zip(days, shown, strict=True) if look.verdict == "drift"]
        if drifting:
            psi.plot(*zip(*drifting, strict=True), color=SECOND, marker="o", linestyle="none", label="drift")
            psi.legend(loc="upper left")
        psi.set_ylabel("largest PSI")
        known = [(day, look.auroc) for day, look in zip(days, shown, strict=True) if look.auroc is not None]
        if known:
            auroc.plot(*zip(*known, strict=True), color=MODEL, marker=".", markersize=4)
        auroc.set_ylabel("AUROC, estimated")
        images.bar(days, [look.n_images for look in shown], color=MODEL, alpha=0.6)
        images.axhline(MIN_IMAGES, color=SECOND, linewidth=0.8, linestyle="--")
        images.set_ylabel("images")
        figure.autofmt_xdate(rotation=30)

    n_drifting = sum(look.verdict == "drift" for look in shown)
    alt = (
        f"Daily looks from {shown[0].day} to {shown[-1].day}: {n_drifting} of {len(shown)} found drift; the largest "
        f"PSI was {max(look.largest_psi for look in shown):.2f}."
    )
    return Markup(svg_of(draw, name="trend", alt=alt, width=7.6, height=5.2))  # noqa: S704  our own drawing
