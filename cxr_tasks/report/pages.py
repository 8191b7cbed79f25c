"""What the report's pages are made with: Jinja that escapes everything, and one stylesheet. Without heavy libraries."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")


def environment() -> Environment:
    """Jinja that escapes everything and fails on a name it does not know."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["fixed"] = lambda value, digits=3: f"{value:.{digits}f}"
    made.filters["rounded"] = lambda value: f"{value:.0f}" if float(value).is_integer() else f"{value:.4f}"
    made.filters["short"] = lambda value: f"{value:.4g}"
    made.filters["signed"] = lambda value, digits=3: f"{value:+.{digits}f}"
    made.filters["percent"] = lambda value: f"{value * 100:.0f} %"
    return made


def stylesheet() -> Markup:
    # Ours and constant, so it may stand unescaped.
    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704
