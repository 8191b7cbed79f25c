"""The report on several findings in plain words, made from the numbers."""

from __future__ import annotations

import numpy as np

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.evaluation.of_finding import FindingEvaluation
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import Bounds, MetricRecord, by_name, record_of
from cxr_tasks.report.calibration_words import calibration_sentences, is_off
from cxr_tasks.report.page.conclusion import ALWAYS, few_errors_mean, rests_on_few
from cxr_tasks.report.page.findings import ByName, ranked_findings, test_records
from cxr_tasks.report.page.gaps import clearly_missed, gap_rows, gaps_sentence, gaps_together
from cxr_tasks.sources.base import about_source
from cxr_tasks.statistics.shares import Comparison, Share

#: How many findings are named at either end.
NAMED = 3
#: A recall below this finds nearly nothing.
NEARLY_NOTHING = 0.05


def several_can_do(evaluation: Evaluation) -> list[str]:
    """Sentences on what was shown on test: mean, strongest findings, served decisions, comparison with the baseline."""
    assessed = _assessed(evaluation)
    n, splits = len(evaluation.findings), evaluation.splits["test"]
    if not assessed:
        return [f"None of the {n} findings could be assessed: too few positive images."]
    mean, precision = (record_of(evaluation.mean["test"], name) for name in ("auroc", "average_precision"))
    prevalence = record_of(evaluation.mean["test"], "prevalence")
    n_ranked = sum(test_records(evaluation, finding)["auroc"].value is not None for finding in evaluation.findings)
    sentences = [
        f"On {splits.n_images} test X-rays of {splits.n_patients} patients, none of whom was in training, the "
        f"mean AUROC over {n_ranked} of {n} findings is {_interval(mean)}; {len(assessed)} can be assessed in full, "
        "with a threshold from validation.",
        f"Mean average precision is {_interval(precision)}; a model that knows nothing would reach the mean "
        f"prevalence, {prevalence.value:.3f}.",
        f"Strongest: {_named(assessed, list(assessed)[:NAMED])}.",
        _above_chance(assessed),
        *_served_sentences(evaluation, assessed),
        *_ridge_sentences(evaluation, assessed),
    ]
    return [sentence for sentence in sentences if sentence]


def _assessed(evaluation: Evaluation) -> dict[str, ByName]:
    """Test records of the findings that can be assessed, the highest AUROC first."""
    ranked = [finding for finding in ranked_findings(evaluation) if evaluation.by_finding[finding].assessable]
    return {finding: test_records(evaluation, finding) for finding in ranked}


def _above_chance(records_of: dict[str, ByName]) -> str:
    unclear = [finding for finding, records in records_of.items() if records["auroc"].bounds.lower <= 0.5]
    if not unclear:
        return "Every assessed finding is ranked better than chance: no interval reaches 0.5."
    return f"Not shown to be better than chance (the interval reaches 0.5): {_list(unclear)}."


def _served_sentences(evaluation: Evaluation, records_of: dict[str, ByName]) -> list[str]:
    served = evaluation.several["test"].served["mean"]
    sensitivity, specificity = (record_of(served, name).bounds for name in ("sensitivity", "specificity"))
    least = min(records_of, key=lambda finding: records_of[finding]["sensitivity"].bounds.value)
    raw = {finding: records["sensitivity_at_raw_half"].bounds.value for finding, records in records_of.items()}
    blind = [finding for finding, value in raw.items() if value < NEARLY_NOTHING]
    decided = (
        f"The served decisions find {_percent(sensitivity.value)} of the positive images on average over findings "
        f"({_bounds(sensitivity)}) and clear {_percent(specificity.value)} of the others ({_bounds(specificity)}). "
        f"The lowest sensitivity is {_interval(records_of[least]['sensitivity'])}, for {_name(least)}."
    )
    half = (
        "With a threshold of 0.5 on uncalibrated probabilities the same model would find "
        f"{_percent(_mean(raw))} on average"
    )
    if blind:
        return [
            decided,
            f"{half}, and less than {NEARLY_NOTHING * 100:g} % for {_list(blind)}: no such threshold is served.",
        ]
    return [decided, f"{half}."]


def _ridge_sentences(evaluation: Evaluation, records_of: dict[str, ByName]) -> list[str]:
    ridge = {
        record.finding: record
        for baseline in evaluation.baselines
        for record in baseline.metrics
        if baseline.name == "ridge_32px" and record.split == "test" and record.value is not None
    }
    compared = [finding for finding in records_of if finding in ridge]
    if not compared:
        return []
    clear = [finding for finding in compared if records_of[finding]["auroc"].bounds.lower > ridge[finding].bounds.upper]
    not_clear = [finding for finding in compared if finding not in clear]
    sentence = (
        f"It is clearly above a ridge regression on 32 x 32 pixels, which knows no fine structure, for {len(clear)} of "
        f"{len(compared)} findings"
    )
    return [f"{sentence}; not clearly for {_list(not_clear)}." if not_clear else f"{sentence}."]


def several_cannot_do(evaluation: Evaluation, source: str) -> list[str]:
    """Sentences on limits: not assessable and weakest findings, calibration, gaps, the data and use."""
    sentences, assessed = list(about_source(source).limits), _assessed(evaluation)
    missing = [finding for finding in evaluation.findings if finding not in assessed]
    if missing:
        counts = [f"{_name(finding)} ({_positives(evaluation.by_finding[finding])})" for finding in missing]
        sentences.append(f"Too few positives, so no decision is claimed: {', '.join(counts)}.")
    if assessed:
        sentences.append(f"Weakest: {_named(assessed, list(assessed)[-NAMED:][::-1])}.")
        for finding, records in assessed.items():
            sentences += calibration_sentences(
                finding, by_name(evaluation.by_finding[finding].metrics["validation"]), records
            )
        too_sure = [finding for finding, records in assessed.items() if rests_on_few(records["auroc"])]
        if too_sure:
            sentences.append(
                f"The AUROC intervals of {_list(too_sure)} rest on few errors: {few_errors_mean(evaluation)}."
            )
        sentences.append(_gap_sentence(evaluation))
    return [*sentences, *ALWAYS]


def _positives(measured: FindingEvaluation) -> str:
    validation, test = measured.counts["validation"], measured.counts["test"]
    return f"{validation.n_positive} positive in validation, {test.n_positive} in test"


def _gap_sentence(evaluation: Evaluation) -> str:
    worst = clearly_missed(gap_rows(evaluation))[:NAMED]
    sentence = gaps_sentence(evaluation)
    missed = {group: gap for group, gap in gaps_together(evaluation).items() if gap.is_clear and gap.bounds.value < 0}
    if missed:
        told = "; ".join(
            f"{group} {bounds.value:+.2f} ({bounds.lower:+.2f} to {bounds.upper:+.2f})"
            for group, bounds in ((group, gap.bounds) for group, gap in missed.items())
        )
        sentence += f" Over all findings together, sensitivity is lower than in the rest for {told}."
    if not worst:
        return sentence
    named = "; ".join(
        f"{_name(row.finding)}, {row.group}: {gap.value:+.2f} ({gap.lower:+.2f} to {gap.upper:+.2f}, "
        f"n = {row.n_positive} positive)"
        for row, gap in worst
    )
    return f"{sentence} Findings are missed most, compared with the rest: {named}."


def what_to_do(evaluation: Evaluation) -> list[str]:
    """What the numbers ask for next, one sentence per kind of problem; what is fine is not mentioned."""
    assessed, steps = _assessed(evaluation), []
    missing = [finding for finding in evaluation.findings if finding not in assessed]
    if missing:
        steps.append(
            f"Get more positive images of {_list(missing)} into validation and test: until then nothing is known of it."
        )
    unclear = [finding for finding, records in assessed.items() if records["auroc"].bounds.lower <= 0.5]
    if unclear:
        steps.append(f"Do not act on {_list(unclear)}: more training images, or a larger test split to tell.")
    missed = [finding for finding in assessed if _falls_short(evaluation, finding)]
    if missed:
        steps.append(
            f"Choose the thresholds of {_list(missed)} on more validation images: test sensitivity lies clearly below "
            "what validation promised."
        )
    easier = [finding for finding in assessed if _is_easier(evaluation, finding)]
    if easier:
        steps.append(f"Ask why validation is easier than test for {_list(easier)}: patients, machines, years?")
    bad = [finding for finding, records in assessed.items() if is_off(records)]
    if bad:
        steps.append(f"Calibrate {_list(bad)} anew before a probability is shown to anyone.")
    groups = dict.fromkeys(row.group for row in gap_rows(evaluation) if row.is_clear and row.gap and row.gap.value < 0)
    if groups:
        steps.append(
            f"Look at missed images of these groups and repeat the comparison on new data: {', '.join(groups)}."
        )
    return steps or ["Repeat the evaluation on images of another hospital: nothing here speaks for or against that."]


def _falls_short(evaluation: Evaluation, finding: str) -> bool:
    point = evaluation.served_point(finding)
    if point is None:
        return False
    validation, test = (
        Share.of_record(record_of(point.on(split).metrics, "sensitivity")) for split in ("validation", "test")
    )
    if validation is None or test is None:
        return False
    return Comparison(test, validation).difference(evaluation.confidence).upper < 0.0


def _is_easier(evaluation: Evaluation, finding: str) -> bool:
    by_split = evaluation.by_finding[finding].metrics
    validation, test = (record_of(by_split[split], "auroc") for split in ("validation", "test"))
    return bool(validation.value is not None and validation.bounds.lower > test.bounds.upper)


def _name(finding: str) -> str:
    return display_name(finding).lower()


def _list(findings: list[str]) -> str:
    names = [_name(finding) for finding in findings]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _named(records_of: dict[str, ByName], findings: list[str]) -> str:
    return ", ".join(f"{_name(finding)} ({_interval(records_of[finding]['auroc'])})" for finding in findings)


def _mean(values: dict[str, float]) -> float:
    return float(np.mean(list(values.values())))


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _bounds(share: Bounds) -> str:
    return f"{share.lower * 100:.1f} to {share.upper * 100:.1f} %"


def _interval(record: MetricRecord) -> str:
    return f"{record.value:.3f}, interval {record.lower:.3f} to {record.upper:.3f}"
