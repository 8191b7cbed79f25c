"""The Prometheus page: TensorFlow Serving's names and labels, and sums that add up."""

from __future__ import annotations

import json
import re

import pytest

from serving.server.metrics import COUNT_BOUNDS, MAX_LABEL_SETS, Counter, Histogram, Metrics


def test_counter_sums_by_label_and_escapes_values():
    counter = Counter(":c", ("model_name", "status"))
    counter.add(("toy", "OK"))
    counter.add(("toy", "OK"), 2)
    counter.add(('a"b\\c\nd', "NOT_FOUND"))
    assert list(counter.lines()) == [
        ':c{model_name="a\\"b\\\\c\\nd",status="NOT_FOUND"} 1',
        ':c{model_name="toy",status="OK"} 3',
    ]
    assert counter.total() == 4


def test_histogram_cumulates_its_buckets():
    histogram = Histogram(":h", ("m",), (1, 2, 4))
    for value in (0.5, 2, 3, 100):
        histogram.observe(("a",), value)
    assert list(histogram.lines()) == [
        ':h_bucket{m="a",le="1"} 1',
        ':h_bucket{m="a",le="2"} 2',
        ':h_bucket{m="a",le="4"} 3',
        ':h_bucket{m="a",le="+Inf"} 4',
        ':h_sum{m="a"} 105.5',
        ':h_count{m="a"} 4',
    ]


def test_names_from_requests_cannot_fill_the_memory():
    counter = Counter(":c", ("model_name", "status"))
    for number in range(MAX_LABEL_SETS + 50):
        counter.add((f"m{number}", "NOT_FOUND"))
    lines = list(counter.lines())
    assert len(lines) == MAX_LABEL_SETS + 1
    assert ':c{model_name="other",status="other"} 50' in lines


def test_totals_are_found_under_the_names_of_a_reload_request():
    metrics = Metrics()
    metrics.requests.add(("toy", "OK"), 3)
    assert metrics.total("/tensorflow/serving/request_count") == 3
    assert metrics.total("/no/such/metric") == 0


def test_names_types_and_labels_are_those_of_the_recorded_page(golden):
    recorded = {one["name"]: one for one in json.loads((golden / "metrics.json").read_text())["metrics"]}
    metrics = Metrics()
    for one in metrics.all():
        assert one.name in recorded
        assert one.kind == recorded[one.name]["type"]
        labels = ("x",) * len(one._labels)
        one.add(labels) if isinstance(one, Counter) else one.observe(labels, 1)
        if recorded[one.name]["samples"]:
            shown = set(re.findall(r"(\w+)=\"", "\n".join(one.lines())))
            assert shown == set(recorded[one.name]["labels"])


@pytest.mark.parametrize("bound", COUNT_BOUNDS)
def test_bounds_are_shown_as_the_recorded_page_shows_them(golden, bound):
    assert f'request_example_counts_bucket{{model="examples",le="{bound:.6g}"}}' in (golden / "metrics.txt").read_text()
