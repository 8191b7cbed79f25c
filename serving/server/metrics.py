"""Counters and histograms of the server, and their Prometheus page under TensorFlow Serving's names."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Collection, Iterable

Labels = tuple[str, ...]

# Names of models come from requests: beyond so many combinations the rest is counted together, but for models that are
# served; and of a long one this much is kept.
MAX_LABEL_SETS = 1000
MAX_LABEL_CHARS = 256


def _growing(first: float, factor: float, n_buckets: int) -> tuple[float, ...]:
    return tuple(first * factor**power for power in range(n_buckets))


LATENCY_BOUNDS_US = _growing(10, 1.8, 33)
COUNT_BOUNDS = _growing(1, 2, 15)


class Counter:
    """A sum per combination of label values."""

    kind = "counter"

    def __init__(self, name: str, labels: Labels) -> None:
        self.name, self._labels = name, labels
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, labels: Labels, amount: float = 1, is_served: bool = False) -> None:
        """Adds ``amount`` for these label values; ``is_served``: they are not a client's to choose."""
        with self._lock:
            labels = labels if is_served else _bounded(labels, self._values)
            self._values[labels] = self._values.get(labels, 0) + amount

    def total(self) -> float:
        """The sum over all label values."""
        with self._lock:
            return sum(self._values.values())

    def lines(self) -> Iterable[str]:
        """The samples, a line each."""
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            yield f"{self.name}{_labelled(self._labels, labels)} {value:.6g}"


class Histogram:
    """Counts per bucket, sum and number of observations per combination of label values."""

    kind = "histogram"

    def __init__(self, name: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        self.name, self._labels, self._bounds = name, labels, bounds
        self._held: dict[Labels, tuple[list[int], list[float]]] = {}
        self._lock = threading.Lock()

    def observe(self, labels: Labels, value: float) -> None:
        """Counts ``value`` in its bucket (the first whose bound is above it, as TensorFlow buckets)."""
        with self._lock:
            counts, sums = self._held.setdefault(_bounded(labels, self._held), ([0] * (len(self._bounds) + 1), [0.0]))
            counts[bisect_left(self._bounds, value)] += 1
            sums[0] += value

    def total(self) -> float:
        """The number of observations over all label values."""
        with self._lock:
            return sum(sum(counts) for counts, _ in self._held.values())

    def lines(self) -> Iterable[str]:
        """The samples, a line each, buckets cumulated."""
        with self._lock:
            held = sorted((labels, list(counts), sums[0]) for labels, (counts, sums) in self._held.items())
        for labels, counts, total in held:
            n_so_far = 0
            for bound, count in zip([*(f"{bound:.6g}" for bound in self._bounds), "+Inf"], counts, strict=True):
                n_so_far += count
                yield f"{self.name}_bucket{_labelled((*self._labels, 'le'), (*labels, bound))} {n_so_far}"
            yield f"{self.name}_sum{_labelled(self._labels, labels)} {total:.6g}"
            yield f"{self.name}_count{_labelled(self._labels, labels)} {n_so_far}"


class Metrics:
    """All that the server counts; latencies in microseconds."""

    def __init__(self) -> None:
        prefix = ":tensorflow:serving:"
        self.requests = Counter(f"{prefix}request_count", ("model_name", "status"))
        self.latency = Histogram(f"{prefix}request_latency", ("model_name", "API", "entrypoint"), LATENCY_BOUNDS_US)
        self.runtime = Histogram(f"{prefix}runtime_latency", ("model_name", "API", "runtime"), LATENCY_BOUNDS_US)
        self.examples = Counter(f"{prefix}request_example_count_total", ("model",))
        self.example_counts = Histogram(f"{prefix}request_example_counts", ("model",), COUNT_BOUNDS)
        self.warmup_records = Counter(f"{prefix}model_warmup_records_read", ("model_path",))
        self.warmup_latency = Histogram(f"{prefix}model_warmup_latency", ("model_path", "status"), LATENCY_BOUNDS_US)
        self.batch_sizes = Counter(f"{prefix}batching:processed_batch_size_v2", ("model_name", "op_name", "batch_size"))
        self.padding = Histogram(
            f"{prefix}batching:padding_size_v2", ("execution_batch_size", "model_name"), COUNT_BOUNDS
        )
        self.queuing = Histogram(f"{prefix}batching_session:queuing_latency", (), LATENCY_BOUNDS_US)
        self.batch_runs = Counter(f"{prefix}batching_session:wrapped_run_count", ())
        self.loads = Counter(":tensorflow:cc:saved_model:load_attempt_count", ("model_path", "status"))
        self.load_latency = Counter(":tensorflow:cc:saved_model:load_latency", ("model_path",))

    def all(self) -> list[Counter | Histogram]:
        """Every metric, by name."""
        return sorted((metric for metric in vars(self).values()), key=lambda metric: metric.name)

    def total(self, name: str) -> float:
        """The total of the metric that TensorFlow calls ``name`` (as ``/tensorflow/serving/request_count``), or 0."""
        metrics = (metric for metric in self.all() if metric.name == name.replace("/", ":"))
        return next((metric.total() for metric in metrics), 0)

    def page(self) -> str:
        """The Prometheus text format."""
        lines: list[str] = []
        for metric in self.all():
            lines += [f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join(lines) + "\n"


def _bounded(labels: Labels, held: Collection[Labels]) -> Labels:
    labels = tuple(value if len(value) <= MAX_LABEL_CHARS else f"{value[:MAX_LABEL_CHARS]}..." for value in labels)
    return labels if labels in held or len(held) < MAX_LABEL_SETS else ("other",) * len(labels)


def _labelled(names: Labels, values: Labels) -> str:
    """Label pairs as Prometheus escapes them; model names come from requests and may hold anything."""
    if not names:
        return ""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for value in values)
    return "{" + ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True)) + "}"
