from __future__ import annotations

import pytest

from cxr_tasks.validate.offline_docs import drop_unused, make_self_contained

PAGE = """<html><head>
<link rel="stylesheet" href="https://cdn.example/bootstrap.css"/>
<link rel="stylesheet" href="static/styles/own.css"/>
<link rel="shortcut icon" href="../../../static/images/favicon.ico"/>
<script src="https://cdn.example/jquery.js"></script>
<script>var own = 1;</script>
</head><body onload="run()"><button class="a" onclick="clear('x')">Clear</button><a href="https://example.org/newsletter?x=1">Subscribe</a><table><tr><td>77</td></tr></table></body></html>"""


def test_remote_parts_go_and_the_rest_stays(tmp_path):
    page = tmp_path / "validations" / "one.html"
    page.parent.mkdir()
    page.write_text(PAGE)
    make_self_contained(tmp_path)
    text = page.read_text()
    assert "https://" not in text
    assert "<td>77</td>" in text
    assert "onclick" not in text and "onload" not in text and "Clear" not in text
    assert "<script" not in text, "the page's own scripts need the libraries that were taken out"
    assert "static/styles/own.css" in text
    assert text.count("<style>") == 1


def test_the_index_lists_every_page_without_a_script(tmp_path):
    for name in ("index.html", "expectations/manifest.html", "validations/manifest/run 1.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PAGE)
    make_self_contained(tmp_path)
    index = (tmp_path / "index.html").read_text()
    assert index.index('href="validations/manifest/run%201.html"') < index.index('href="expectations/manifest.html"')


@pytest.mark.parametrize(
    ("name", "icon"),
    [
        ("index.html", "static/images/favicon.ico"),
        ("expectations/manifest.html", "../static/images/favicon.ico"),
        ("validations/manifest/__none__/now/one.html", "../../../../static/images/favicon.ico"),
    ],
)
def test_each_page_links_the_icon_from_where_it_lies(tmp_path, name, icon):
    page = tmp_path / name
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(PAGE)
    make_self_contained(tmp_path)
    assert f'rel="shortcut icon" href="{icon}"' in page.read_text()


def test_files_that_no_page_names_are_dropped(tmp_path):
    for name in (
        "static/images/favicon.ico",
        "static/images/large.gif",
        "static/fonts/x.woff",
        "static/styles/own.css",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"0" * 100)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "page.html").write_text(
        '<link href="../static/images/favicon.ico"><link href="../static/styles/own.css">'
    )
    assert drop_unused(tmp_path) == 200
    left = sorted(one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*") if one.is_file())
    assert left == ["deep/page.html", "static/images/favicon.ico", "static/styles/own.css"]
    assert not (tmp_path / "static" / "fonts").exists()
    assert drop_unused(tmp_path / "deep") == 0  # no such folder
