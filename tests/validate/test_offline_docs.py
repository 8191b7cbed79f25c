from __future__ import annotations

from cxr_tasks.validate.offline_docs import make_self_contained

PAGE = """<html><head>
<link rel="stylesheet" href="https://cdn.example/bootstrap.css"/>
<link rel="stylesheet" href="static/styles/own.css"/>
<script src="https://cdn.example/jquery.js"></script>
<script>var own = 1;</script>
</head><body><a href="https://example.org/newsletter?x=1">Subscribe</a><table><tr><td>77</td></tr></table></body></html>"""


def test_remote_parts_go_and_the_rest_stays(tmp_path):
    page = tmp_path / "validations" / "one.html"
    page.parent.mkdir()
    page.write_text(PAGE)
    make_self_contained(tmp_path)
    text = page.read_text()
    assert "https://" not in text
    assert "<td>77</td>" in text
    assert "<script" not in text, "the page's own scripts need the libraries that were taken out"
    assert "static/styles/own.css" in text
    assert text.count("<style>") == 1
