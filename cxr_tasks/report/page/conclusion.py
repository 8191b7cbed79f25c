"""The report in plain words, made from the numbers: what the model can do, and what it cannot."""

from __future__ import annotations

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.evaluation.of_finding import FindingEvaluation, OperatingPoint
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import MetricRecord, by_name, record_of
from cxr_tasks.report.calibration_words import calibration_sentences
from cxr_tasks.sources.base import about_source
from cxr_tasks.statistics.auroc_intervals import FEW_ERRORS_SAID, rests_on_few_errors

#: What it means that an AUROC's interval rests on few errors (statistics.auroc_intervals).
FEW_ERRORS_MEAN = (
    "with so few positives, or so few of them out of order, DeLong's 95 % intervals covered 69 to 98 % in simulations, "
    "so a wider one stands here that covered 95 % and more"
)
#: The same of a metrics.json of before that.
FEW_ERRORS_MEANT = (
    "with so few positives, or so few of them out of order, DeLong's 95 % intervals, as here, covered 69 to 98 % in "
    "simulations, and their lower ends lie too high; evaluate the model again for one that covers"
)
#: What ends every list of limits.
ALWAYS = (
    "Thresholds and calibration were chosen on validation images of the same source. Elsewhere both must be "
    "checked anew.",
    "A heat map shows which parts of an image moved the score. It is not a diagnosis, not an outline of disease, "
    "and no proof that the model was right for the right reason.",
    "This is research software, not a medical device: it must not be used to diagnose, treat or triage patients.",
)


def can_do(evaluation: Evaluation) -> list[str]:
    """Sentences on what was shown on test, per finding: ranking, the served decision, the comparison with baselines."""
    sentences = []
    for finding in evaluation.findings:
        measured = evaluation.by_finding[finding]
        name = display_name(finding).lower()
        if not measured.assessable:
            sentences.append(f"{display_name(finding)} could not be assessed: {measured.reason}.")
            continue
        auroc = record_of(measured.metrics["test"], "auroc")
        n_patients = auroc.n_patients or evaluation.splits["test"].n_patients
        sentences.append(
            f"On {auroc.n} test X-rays of {n_patients} patients, none of whom was in training, the model ranks an "
            f"image with {name} above one without it in {_percent(auroc.bounds.value)} of pairs (AUROC "
            f"{_interval(auroc)})."
        )
        sentences.append(_decision_sentence(name, evaluation.served_point(finding)))
        sentences += _baseline_sentences(evaluation, finding, auroc)
    return sentences


def _decision_sentence(name: str, point: OperatingPoint | None) -> str:
    if point is None:
        return f"There is no served decision for {name}."
    test = point.test
    positives, negatives = test.n_positive, test.n - test.n_positive
    sensitivity, specificity = (record_of(test.metrics, metric) for metric in ("sensitivity", "specificity"))
    ppv = record_of(test.metrics, "ppv")
    sentence = (
        f"Its served decision finds {test.true_positives} of {positives} images with {name} (sensitivity "
        f"{_interval(sensitivity)}) and clears {test.true_negatives} of {negatives} without (specificity "
        f"{_interval(specificity)})."
    )
    if ppv.value is not None:
        sentence += f" It calls {100.0 * (test.true_positives + test.false_positives) / test.n:.0f} of 100 images."
        sentence += (
            f" Of 100 images it calls positive about {ppv.value * 100:.0f} are, as long as "
            f"{_percent(positives / test.n)} of all images are positive, as here; where {name} is rarer, fewer."
        )
    return sentence


def _baseline_sentences(evaluation: Evaluation, finding: str, auroc: MetricRecord) -> list[str]:
    records = [
        record
        for baseline in evaluation.baselines
        for record in baseline.metrics
        if baseline.name == "ridge_32px" and record.finding == finding and record.split == "test"
    ]
    if not records or records[0].value is None:
        return []
    clear = "clearly above" if auroc.bounds.lower > records[0].bounds.upper else "not clearly above"
    return [
        f"That is {clear} a ridge regression on 32 x 32 pixels, which knows no fine structure and reaches "
        f"{_interval(records[0])} on the same images."
    ]


def cannot_do(evaluation: Evaluation, source: str) -> list[str]:
    """Sentences on limits: of the data, of what was measured, and of use."""
    sentences = list(about_source(source).limits)
    for finding in evaluation.findings:
        measured = evaluation.by_finding[finding]
        if measured.assessable:
            sentences += _shift_sentences(finding, measured)
            if rests_on_few(record_of(measured.metrics["test"], "auroc")):
                name = display_name(finding).lower()
                sentences.append(f"The AUROC interval of {name} rests on few errors: {few_errors_mean(evaluation)}.")
            by_split = (by_name(measured.metrics[split]) for split in ("validation", "test"))
            sentences += calibration_sentences(finding, *by_split)
    return [*sentences, *ALWAYS]


def rests_on_few(auroc: MetricRecord) -> bool:
    """Whether few errors make the interval of this record."""
    if auroc.n_patients is not None:
        return FEW_ERRORS_SAID in auroc.method
    positive, n = auroc.n_positive, auroc.n
    if auroc.value is None or positive is None:
        return False
    return rests_on_few_errors(auroc.value, positive, n - positive)


def counts_patients(evaluation: Evaluation) -> bool:
    """Whether intervals of single findings count patients; those of a ``metrics.json`` of before that count images."""
    records = (measured.metrics["test"] for measured in evaluation.by_finding.values())
    return all(record_of(some, "auroc").n_patients is not None for some in records)


def few_errors_mean(evaluation: Evaluation) -> str:
    """What it means that an AUROC's interval of ``metrics`` rests on few errors."""
    return FEW_ERRORS_MEAN if counts_patients(evaluation) else FEW_ERRORS_MEANT


def _shift_sentences(finding: str, measured: FindingEvaluation) -> list[str]:
    validation, test = (record_of(measured.metrics[split], "auroc") for split in ("validation", "test"))
    if validation.value is None or test.value is None or validation.value <= test.bounds.upper:
        return []
    return [
        f"For {display_name(finding).lower()}, validation (AUROC {_interval(validation)}) is easier than test; images "
        "from elsewhere may be harder still."
    ]


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _interval(record: MetricRecord) -> str:
    return f"{record.value:.3f}, interval {record.lower:.3f} to {record.upper:.3f}, n = {record.n}"
