"""What we expect of tables computed from a whole manifest: labels per finding, shortcuts, change since last time."""

from __future__ import annotations

import great_expectations as gx

from expectations.rules import CRITICAL, WARNING, between, no_fault

#: Population stability index above which a change is worth a look, and above which it is large.
PSI_SOME, PSI_STRONG = 0.1, 0.25
#: Share of a label's entropy that a property of the file may tell; 0.05 is about an AUROC of 0.65 at equal classes.
SHORTCUT_BOUND = 0.05


def build_findings_suite(n_findings: int) -> gx.ExpectationSuite:
    """For ``expectations.label_table``: a finding that one split lacks stops a model of one finding only.

    Of many findings a rare one may be missing from a split (0.2 % of the images of NIH's set show a hernia): its
    metrics have no value there and the gate says so. That none can be judged stops the run here too.
    """
    if n_findings == 1:
        rules = [
            no_fault("missing", CRITICAL, "the finding is present and absent in every split"),
            between("share_present", 0.01, 0.99, CRITICAL, "1 % of the images or more are of either class"),
            between("share_present", 0.2, 0.8, WARNING, "classes are balanced to 1:4 or better"),
        ]
    else:
        rules = [
            between("n_complete_findings", 1, None, CRITICAL, "some finding is present and absent in every split"),
            no_fault("missing", WARNING, "each finding is present and absent in every split"),
            between("share_present", 0.001, 0.9, WARNING, "a finding is present in 0.1 % to 90 % of the images"),
        ]
    gap = "shares of train and validation are equal but for chance: Cohen's h 0.1 at most beyond it"
    rules.append(between("gap_to_validation", None, 0.1, WARNING, gap))
    kind = "binary" if n_findings == 1 else "multilabel"
    return gx.ExpectationSuite(name=f"manifest_findings_{kind}", expectations=rules)


def build_shortcuts_suite() -> gx.ExpectationSuite:
    """For ``expectations.information``: what tells a label without the lungs is told to a person."""
    about = "no property of the file tells more than 0.05 of a label"
    rule = between("share_beyond_chance", None, SHORTCUT_BOUND, WARNING, about)
    return gx.ExpectationSuite(name="manifest_shortcuts", expectations=[rule])


def build_drift_suite() -> gx.ExpectationSuite:
    """For ``cxr_tasks.validate.drift``: distributions against those of the last validated version.

    New data may well differ, so nothing here stops a run.
    """
    rules = [
        between("psi", None, PSI_SOME, WARNING, f"distributions are those of the last version: PSI {PSI_SOME} at most"),
        between("psi", None, PSI_STRONG, WARNING, f"no distribution is another one: PSI {PSI_STRONG} at most"),
        between(
            "jensen_shannon", None, 0.2, WARNING, "no distribution is another one: Jensen-Shannon distance 0.2 at most"
        ),
    ]
    return gx.ExpectationSuite(name="manifest_drift", expectations=rules)


def build_counts_suite() -> gx.ExpectationSuite:
    """For ``cxr_tasks.validate.drift``: counts against those of the last validated version."""
    about = "there are as many images and patients as in the last version, or 5 % fewer at most"
    return gx.ExpectationSuite(name="manifest_counts", expectations=[between("ratio", 0.95, None, WARNING, about)])
