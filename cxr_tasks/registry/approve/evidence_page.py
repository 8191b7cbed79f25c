"""What a person sees who is asked whether a version shall serve: Markdown, for a page of the Airflow UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxr_tasks.contracts.decision_file import DecisionFile, RuleRecord
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.judgement import is_lowered, marked_verdict
from cxr_tasks.contracts.handoffs.release import ApprovalRequest
from cxr_tasks.contracts.plain_text import plain_markdown as plain
from cxr_tasks.contracts.remarks import remarks_in
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.registry import versions
from cxr_tasks.registry.addresses import mlflow_run_page, mlflow_version_page, report_page
from cxr_tasks.registry.approve.promotion import decision_of, require_permission
from cxr_tasks.registry.overrides import overrides_of
from cxr_tasks.registry.questions import record_question

_CHECKED = (
    "Passed: exported and loaded in a model server of its own, it answers as the registered model does, and as quickly."
)
_NOT_CHECKED = (
    "**Not passed**; the log of task `prepare` says why. An approved version is checked again before it serves, and "
    "does not serve if it fails again."
)
_OUTCOME = {"PASS": "passed", "FAIL": "**failed**", "NOT_APPLICABLE": "does not apply", "NEEDS_HUMAN": "**undecided**"}


@room_for("putting the evidence together", 2 * MIB)
def approval_request(
    model_name: str,
    version: int,
    work: Path,
    *,
    run: str,
    limit: timedelta,
    has_report: bool,
    is_checked: bool,
    notes: Sequence[str] = (),
) -> ApprovalRequest:
    """The question about one version, with all that is needed to answer it; ``decision.json`` is fetched to ``work``.

    That it was asked, and what was shown, goes into the audit log: an answer counts for that very question.

    Args:
        run: The DAG run in which it is asked.
        notes: What else the person should know, such as that what serves is not what the registry says.
        limit: How long the answer is waited for.
        has_report: Whether the version's report has been written.
        is_checked: Whether the version was exported and passed the check that stands before a release.

    Raises:
        NoSuchVersion: The registry has no such version.
        ReleaseRefused: The version may not serve, whatever a person answers here.
        DataDefect: It is champion already, or its run holds another decision than it was registered with.
    """
    registered = versions.find_version(model_name, version)
    champion = versions.version_with_alias(model_name, versions.CHAMPION)
    champion_version = None if champion is None else int(champion.version)
    if champion_version == version:
        raise DataDefect(f"{model_name} version {version} is champion already: there is nothing to approve")
    policy_note = require_permission(model_name, version)
    decision, sha256 = decision_of(registered, work)
    verdict = marked_verdict(decision["verdict"], decision.get("gate_floor"))
    parts = [
        *(f"**Note:** {plain(note)}" for note in (*notes, policy_note) if note),
        _headline(model_name, version, champion_version, registered.tags),
        _overrides(registered.tags),
        _lowered_floor(decision),
        "#### Against the champion",
        against_champion(decision, champion_version),
        "#### Release check",
        _CHECKED if is_checked else _NOT_CHECKED,
        "#### Look closer",
        _links(model_name, version, str(registered.run_id), has_report),
        "#### Your answer",
        _what_follows(version, champion_version, limit),
        # Last, as it is long: a page for fourteen findings.
        f"#### Gate: {verdict}, policy {plain(registered.tags.get('gate.policy', 'unknown'))}",
        verdict_table(decision["rules"]),
        "\n".join(f"- {plain(remark.sentence)}" for remark in remarks_in(decision)),
    ]
    request = ApprovalRequest(
        model_name=model_name,
        version=version,
        decision_sha256=sha256,
        champion_version=champion_version,
        mlflow_run_id=str(registered.run_id or ""),
        champion_run_id="" if champion is None else str(champion.run_id or ""),
        dataset_fingerprint=registered.tags.get("data.fingerprint", ""),
        limit_hours=limit.total_seconds() / 3600,
        subject=f"Shall {model_name} version {version} serve?",
        body="\n\n".join(part for part in parts if part),
    )
    record_question(request, run)
    return request


def _headline(model_name: str, version: int, champion_version: int | None, tags: Mapping[str, str]) -> str:
    now = "No version serves yet." if champion_version is None else f"Champion today: version {champion_version}."
    ends = filter(None, (tags.get("test_auroc_lower"), tags.get("test_auroc_upper")))
    interval = plain(" to ".join(ends))
    recipe = plain(tags.get("recipe.name", "unknown"))
    trained = f"trained by recipe {recipe} on dataset {plain(_dataset(tags))}"
    return (
        f"**{model_name} version {version}**, {trained}, asks to become champion: the version that answers requests. "
        f"{now}\n\nTest AUROC **{plain(tags.get('test_auroc', 'unknown'))}** (95 % interval {interval or 'unknown'})."
    )


def _lowered_floor(decision: DecisionFile) -> str:
    """A verdict that a person made easier to reach is the second thing to know."""
    if not is_lowered(decision.get("gate_floor")):
        return ""
    return f"**Not as the policy asks:** {marked_verdict(decision['verdict'], decision['gate_floor'])}."


def _dataset(tags: Mapping[str, str]) -> str:
    return f"{tags.get('data.name', 'unknown')} {tags.get('data.fingerprint', '')[:8]}".strip()


def _overrides(tags: Mapping[str, str]) -> str:
    """Overrides are the first thing to know: the gate alone would not let this version serve."""
    return "\n\n".join(
        f"**The gate was overridden** by {plain(override.by)}, {override.at}: {plain(override.reason)}"
        for override in overrides_of(tags)
    )


def verdict_table(rules: Sequence[RuleRecord]) -> str:
    """Every rule of ``decision.json``: outcome, what was asked and found, number with interval, bound.

    Those that were not passed come first.
    """
    lines = ["| Outcome | Asked and found | Value (95 % interval) | Bound |", "|---|---|---|---|"]
    for rule in sorted(rules, key=lambda rule: rule["outcome"] not in ("FAIL", "NEEDS_HUMAN")):
        outcome = _OUTCOME.get(rule["outcome"], rule["outcome"])
        lines.append(f"| {outcome} | {plain(rule['sentence'])} | {_interval(rule)} | {_number(rule.get('bound'))} |")
    return "\n".join(lines)


def against_champion(decision: DecisionFile, champion_version: int | None) -> str:
    """The gate's comparison with the champion of its time, and whether that is the champion of today."""
    compared = decision.get("champion_version")
    rules = [rule for rule in decision["rules"] if rule["name"].startswith("champion")]
    # The comparison of the means, and of the findings those that are worse.
    telling = [rule["sentence"] for rule in rules if rule["name"] == "champion" or rule["outcome"] != "PASS"]
    said = plain(" ".join(telling)) or "The gate compared it with no champion."
    if compared != champion_version and champion_version is not None:
        with_whom = "no champion" if compared is None else f"version {compared}"
        return (
            f"{said} **The champion has changed since:** the gate compared with {with_whom}, champion now is version "
            f"{champion_version}. The two were not compared; train again for a comparison."
        )
    return said


def _links(model_name: str, version: int, run_id: str, has_report: bool) -> str:
    pages = {
        "Report with curves, subgroups and heat maps": report_page(model_name, version) if has_report else "",
        "Version in the registry, with its model card": mlflow_version_page(model_name, version),
        "MLflow run, with decision.json": mlflow_run_page(run_id),
    }
    listed = [f"- [{name}]({address})" for name, address in pages.items() if address]
    if not has_report:
        listed.insert(0, "- The report could not be written; the log of task `report` says why.")
    return "\n".join(listed)


def _what_follows(version: int, champion_version: int | None, limit: timedelta) -> str:
    stays = "nothing serves" if champion_version is None else f"version {champion_version} goes on serving"
    until = datetime.now(UTC) + limit
    return (
        f"- **Approve**: version {version} becomes champion and, once its release checks are passed, answers all "
        "requests. This takes about a minute.\n"
        f"- **Reject**: {stays}; your reason is kept on version {version}.\n"
        f"- No answer until {until:%Y-%m-%d %H:%M} UTC: not approved; {stays}.\n\n"
        "Name, time and reason go into the audit log. A heat map is not a diagnosis; research use only."
    )


def _interval(rule: RuleRecord) -> str:
    if rule.get("lower") is None or rule.get("upper") is None:
        return _number(rule.get("value"))
    return f"{_number(rule['value'])} ({_number(rule['lower'])} to {_number(rule['upper'])})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
