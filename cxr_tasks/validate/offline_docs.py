"""Data Docs that load nothing from elsewhere: they list images of patients, and hospitals are often offline."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from urllib.parse import quote

from cxr_tasks.installation.storage.changes import remove_file, remove_tree
from cxr_tasks.installation.storage.files import write_text

#: Great Expectations' pages take looks and scripts from public servers, and ask for a newsletter subscription.
#: Their own scripts go too: they need the libraries from there.
_REMOTE = re.compile(
    r"<script\b.*?</script>|<(?:link|img)\b[^>]*\b(?:href|src)=\"https?://[^>]*>|"
    r"<button\b[^>]*\bonclick=.*?</button>|<footer\b.*?</footer>|<a\b[^>]*\bhref=\"https?://[^\"]*newsletter[^>]*>.*?</a>",
    re.DOTALL,
)
#: What runs in a page without a script element. Values of tables are escaped, so none of them looks like one.
_HANDLER = re.compile(r"(<[a-z][^<>]*?)\son[a-z]+=\"[^\"<>]*\"")
#: The pages of results lie deeper than Great Expectations counts when it links its icon.
_ICON = re.compile(r"href=\"[^\"]*static/images/favicon\.ico\"")

#: A page that is opened from disk comes without the headers that the Airflow UI sends with it.
_POLICY = (
    """<meta http-equiv="Content-Security-Policy" content="script-src 'none'; object-src 'none'; base-uri 'none'">"""
)

_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328; }
table { border-collapse: collapse; margin: .5rem 0 1.25rem; }
td, th { border-bottom: 1px solid #d8dee4; padding: .3rem .75rem .3rem 0; text-align: left; vertical-align: top; }
a { color: #1f5f99; }
ul.nav, .navbar-nav { columns: 3; padding-left: 1.2rem; }
h1, h2, h3, h4, h5 { margin: 1.5rem 0 .5rem; font-size: 1.05rem; }
.badge { border: 1px solid #8c959f; border-radius: 4px; padding: 0 .4rem; }
</style>"""


def make_self_contained(folder: Path) -> None:
    """Take everything remote out of the pages below ``folder``, style them, and list them on ``index.html``.

    The original index draws its list by a script.
    """
    pages = sorted(page.relative_to(folder).as_posix() for page in folder.rglob("*.html"))
    for name in pages:
        text = _REMOTE.sub("", (folder / name).read_text(encoding="utf-8"))
        text = _HANDLER.sub(r"\1", text)
        text = _ICON.sub(f'href="{"../" * name.count("/")}static/images/favicon.ico"', text)
        text = text.replace("<head>", f"<head>{_POLICY}", 1).replace("</head>", f"{_STYLE}</head>", 1)
        if name == "index.html":
            text = text.replace("</body>", f"{_links([page for page in pages if page != name])}</body>", 1)
        write_text(folder / name, text)


def drop_unused(folder: Path) -> int:
    """Remove the files of ``static`` that no page names, and say how many bytes that freed.

    Great Expectations copies 4 MB of pictures and fonts into each folder, three to a run; without its scripts and
    its invitations the pages use next to none of them.
    """
    text = "".join(page.read_text(encoding="utf-8") for page in folder.rglob("*.html"))
    freed = 0
    for path in sorted((folder / "static").rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in text:
            freed += path.stat().st_size
            remove_file(path)
        elif path.is_dir() and not any(path.iterdir()):
            remove_tree(path)
    return freed


def _links(pages: list[str]) -> str:
    """Results first, then the suites they were held against."""
    ordered = sorted(pages, key=lambda page: (not page.startswith("validations/"), page))
    rows = "".join(f'<li><a href="{quote(page)}">{escape(page.removesuffix(".html"))}</a></li>' for page in ordered)
    return f"<h1>Data Docs</h1><ul>{rows}</ul>"
