"""Simulate the shipped policies and write the tables beside them: ``python -m tests.policies.table [DATASET ...]``.

Takes some minutes a dataset, NIH's 25,596 images a quarter of an hour of one core. ``DATASET:WORD`` draws the kinds
with that word in their name alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.gate_specs import GateSpec
from cxr_tasks.contracts.policies import POLICIES_FOLDER, load_policy
from tests.policies import judging
from tests.policies.cohorts import COHORTS, Cohort

#: Bounds are chosen on other seeds than those that the tables tell of: below, from 5000 on, say.
FIRST_SEEDS = dict.fromkeys(COHORTS, 50_000)
#: Models drawn of the honest kind and of each other one.
N_HONEST, N_OTHER = 100, 40
#: Of rows whose share is near what is asked.
N_MORE = {
    ("synthetic_binary", "odds times 5 on every finding"): 100,
}
#: After as many the row is written, so that what was drawn is not lost.
EVERY = 10
#: Share of runs in which an honest model must pass, and each of the broken ones must be refused.
ENOUGH = 0.95


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of model, as the table names it."""

    name: str
    options: Callable[[Cohort, str], dict[str, Any]]
    """Cohort and a finding -> how that model is drawn and decides."""
    n_findings: int | None = None
    """How many findings are drawn, those that are broken: they decide, whatever the others do. None: all, as rules that
    look at all findings together need them."""
    must_be_refused: bool = True
    """Else it is told, and not asked for."""


HONEST = "honest, of published quality"
KINDS = (
    Kind(HONEST, lambda cohort, finding: {}, n_findings=None, must_be_refused=False),
    Kind("threshold collapsed on one finding: calls nearly all", lambda cohort, finding: {
        "change": judging.calls_all, "changed": (finding,)}, n_findings=1),
    Kind("threshold collapsed on one finding: finds nearly none", lambda cohort, finding: {
        "change": judging.calls_none, "changed": (finding,)}, n_findings=1),
    Kind("odds times 5 on every finding", lambda cohort, finding: {
        "change": judging.odds_times_5, "changed": cohort.findings}, n_findings=5),
    Kind("odds times 5 on one finding", lambda cohort, finding: {
        "change": judging.odds_times_5, "changed": (finding,)}, n_findings=1, must_be_refused=False),
    Kind("odds divided by 5 on one finding", lambda cohort, finding: {
        "change": judging.odds_by_5, "changed": (finding,)}, n_findings=1, must_be_refused=False),
    Kind("logits times 4 on one finding", lambda cohort, finding: {
        "change": judging.too_extreme, "changed": (finding,)}, n_findings=1, must_be_refused=False),
    Kind("chance on one finding", lambda cohort, finding: {"blind": finding}, n_findings=1),
    Kind("the ill of one group missed", lambda cohort, finding: {"missed": cohort.missed}, n_findings=None),
)  # fmt: skip


def asked_of(cohort: Cohort) -> GateSpec:
    return load_policy(cohort.model).section_for(cohort.dataset)[1]


def broken_findings(cohort: Cohort, asked: GateSpec, seed: int, n: int) -> tuple[str, ...]:
    """``n`` others with every seed: one, of those the policy insists on; several, of those that can be assessed."""
    able = [
        one for one in cohort.findings
        if (n > 1 or asked.assessable.concerns(one))
        and round(cohort.prevalence[one][1] * cohort.test[0]) >= asked.assessable.least_positives
    ]  # fmt: skip
    return tuple(able[(seed + i) % len(able)] for i in range(min(n, len(able))))


def is_refused(cohort: Cohort, asked: GateSpec, kind: Kind, seed: int) -> bool:
    if kind.n_findings is None:
        return not judging.passes(judging.judged(cohort, asked, seed, **kind.options(cohort, "")))
    broken = broken_findings(cohort, asked, seed, kind.n_findings)
    alone = dataclasses.replace(
        cohort,
        prevalence={one: cohort.prevalence[one] for one in broken},
        auroc={one: cohort.auroc[one] for one in broken},
    )
    rules = judging.judged(alone, asked, seed, **kind.options(alone, broken[0]))
    return any(rule.outcome == "FAIL" and rule.finding for rule in rules)


def kinds_of(cohort: Cohort) -> list[Kind]:
    """Without a group that the data tell of, none can be missed; one finding is every finding."""
    several = len(cohort.findings) > 1
    return [
        one for one in KINDS
        if (cohort.missed or "group" not in one.name) and (several or one.name != "odds times 5 on one finding")
    ]  # fmt: skip


def asked_sha256(cohort: Cohort) -> str:
    """Of what the policy asks of this dataset: a table of another policy is no table of this one."""
    asked = dataclasses.asdict(asked_of(cohort))
    # No picture is drawn, so none that is strange either.
    del asked["typicality"]
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def path_of(model: str) -> Path:
    return POLICIES_FOLDER / f"{model}.simulated.md"


COLUMNS = ("dataset", "model", "refused", "n", "first", "asked", "note")
#: Draws of which the table tells one by one, so that a test can hold today's code to them.
N_TOLD = 4
#: The letter of one draw.
REFUSED, PASSED = "R", "p"
#: What is known of a row that is not as it should be: dataset and kind -> words.
NOTES = {
    ("nih_sample", "threshold collapsed on one finding: calls nearly all"):
        "156 validation images and a floor of 0.10: clearing one in twenty there can be one in ten on test",
}  # fmt: skip
HEAD = """# What the policy {model} does, simulated

Models drawn at the sizes, prevalences and patients of each dataset, through evaluation's functions and the gate's rules
(`tests/policies`, which says what is published and what is assumed). An honest model shall pass in 95 of 100, a broken
one be refused in 95 of 100; where that is not so a note says what is known. `asked` is the beginning of a hash of
what the policy asks of the dataset: of another policy this is no table. Of odds or logits of one finding alone it is
told what happens, and nothing asked. `first` are the first draws one by one: R refused, p not. No bound was chosen on
the seeds these are drawn with: {seeds}.
"""


def read_rows(model: str) -> list[dict[str, Any]]:
    lines = [one for one in path_of(model).read_text(encoding="utf-8").splitlines() if one.startswith("| ")][1:]
    rows = [dict(zip(COLUMNS, (cell.strip() for cell in one.strip("|").split("|")), strict=True)) for one in lines]
    return [{**one, "refused": int(one["refused"]), "n": int(one["n"])} for one in rows]


def write_rows(model: str, rows: list[dict[str, Any]]) -> None:
    """The table, a row per dataset and kind, in the order of ``COHORTS`` and ``KINDS``, with ``NOTES``."""
    old = read_rows(model) if path_of(model).is_file() else []
    merged = {(one["dataset"], one["model"]): one for one in [*old, *rows]}
    order = [(name, kind.name) for name, cohort in COHORTS.items() for kind in kinds_of(cohort)]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for key in order:
        if key in merged:
            row = {**merged[key], "note": NOTES.get(key, "")}
            lines.append("| " + " | ".join(str(row[name]) for name in COLUMNS) + " |")
    silent = [one.dataset for one in COHORTS.values() if one.model == model and one.missed is None]
    lines += [f"\n{one} tells of neither sex, age nor view: that a group is missed cannot be seen." for one in silent]
    seeds = ", ".join(
        f"{one.dataset} from {FIRST_SEEDS[name]} on" for name, one in COHORTS.items() if one.model == model
    )
    head = HEAD.format(model=model, seeds=seeds)
    path_of(model).write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


def simulate(dataset: str, kind: Kind, n: int) -> Iterator[dict[str, Any]]:
    """The row after every ``EVERY`` draws, the last one of all ``n``."""
    outcomes = ""
    for drawn in range(1, n + 1):
        outcomes += outcome(COHORTS[dataset], kind, FIRST_SEEDS[dataset] + drawn - 1)
        if drawn % EVERY == 0 or drawn == n:
            yield row_of(dataset, kind, outcomes)


def outcome(cohort: Cohort, kind: Kind, seed: int) -> str:
    return REFUSED if is_refused(cohort, asked_of(cohort), kind, seed) else PASSED


def row_of(dataset: str, kind: Kind, outcomes: str) -> dict[str, Any]:
    """A row of the table; ``outcomes`` has a letter per draw, from its first seed on."""
    return {
        "dataset": dataset, "model": kind.name, "refused": outcomes.count(REFUSED), "n": len(outcomes),
        "first": outcomes[:N_TOLD], "asked": asked_sha256(COHORTS[dataset]),
    }  # fmt: skip


def main(arguments: list[str]) -> None:
    for argument in arguments or list(COHORTS):
        dataset, _, only = argument.partition(":")
        for kind in kinds_of(COHORTS[dataset]):
            if only in kind.name:
                n = N_HONEST if kind.name == HONEST else N_MORE.get((dataset, kind.name), N_OTHER)
                for row in simulate(dataset, kind, n):
                    print(json.dumps(row), flush=True)
                    write_rows(COHORTS[dataset].model, [row])


if __name__ == "__main__":
    main(sys.argv[1:])
