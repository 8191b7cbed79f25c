"""Samples in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: Label values -> number.
Samples = dict[tuple[str, ...], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: what it says, and its samples by label values."""

    name: str
    help: str
    kind: str = "gauge"
    """``gauge`` or ``counter``."""
    labels: tuple[str, ...] = ()
    samples: Samples = field(default_factory=dict)


def text_of(metrics: Iterable[Metric]) -> str:
    r"""The page of ``metrics``, as Prometheus' text format 0.0.4 has it.

    >>> text_of([Metric(name="a", help="Of b.", labels=("m",), samples={('x"',): 2.0})])
    '# HELP a Of b.\n# TYPE a gauge\na{m="x\\""} 2\n'
    """
    lines = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        for values, number in sorted(metric.samples.items()):
            pairs = zip(metric.labels, values, strict=True)
            told = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
            # Whole seconds of today have ten digits: %g alone would round them to a quarter of an hour.
            shown = f"{number:.0f}" if number == int(number) else f"{number:.17g}"
            lines.append(f"{metric.name}{{{told}}} {shown}" if told else f"{metric.name} {shown}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
