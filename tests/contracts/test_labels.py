"""The order of findings is that of every label vector, model output and report: another order is another model."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import (
    CHEXPERT_SPELLINGS,
    NIH_SPELLINGS,
    VOCABULARIES,
    findings_of,
    shared_findings,
)

#: Written out a second time on purpose. A change here makes every model and dataset of that vocabulary unusable.
PINNED = {
    "pneumonia": "pneumonia",
    "nih14": "atelectasis cardiomegaly pleural_effusion infiltration mass nodule pneumonia pneumothorax consolidation "
    "edema emphysema fibrosis pleural_thickening hernia",
    "chexpert14": "no_finding enlarged_cardiomediastinum cardiomegaly lung_opacity lung_lesion edema consolidation "
    "pneumonia atelectasis pneumothorax pleural_effusion pleural_other fracture support_devices",
    "shared7": "atelectasis cardiomegaly consolidation edema pleural_effusion pneumonia pneumothorax",
}


def test_no_vocabulary_is_without_a_pinned_order():
    assert set(VOCABULARIES) == set(PINNED)


@pytest.mark.parametrize("vocabulary", PINNED)
def test_the_order_of_findings_is_pinned(vocabulary):
    assert findings_of(vocabulary) == tuple(PINNED[vocabulary].split())


@pytest.mark.parametrize(("one", "other"), [("nih14", "chexpert14"), ("chexpert14", "nih14")])
def test_what_nih_and_chexpert_share_are_the_seven(one, other):
    shared = shared_findings(one, other)
    assert sorted(shared) == list(VOCABULARIES["shared7"])
    assert list(shared) == [finding for finding in VOCABULARIES[one] if finding in VOCABULARIES["shared7"]]


def test_both_collections_spell_all_of_their_own_findings_in_order():
    assert tuple(NIH_SPELLINGS.values()) == VOCABULARIES["nih14"]
    assert tuple(CHEXPERT_SPELLINGS.values()) == VOCABULARIES["chexpert14"]


@pytest.mark.parametrize(
    ("nih", "chexpert"),
    [
        ("Atelectasis", "Atelectasis"),
        ("Cardiomegaly", "Cardiomegaly"),
        ("Consolidation", "Consolidation"),
        ("Edema", "Edema"),
        ("Effusion", "Pleural Effusion"),
        ("Pneumonia", "Pneumonia"),
        ("Pneumothorax", "Pneumothorax"),
    ],
)
def test_a_shared_finding_is_one_whatever_its_spelling(nih, chexpert):
    assert NIH_SPELLINGS[nih] == CHEXPERT_SPELLINGS[chexpert]
    assert NIH_SPELLINGS[nih] in VOCABULARIES["shared7"]


def test_an_unknown_vocabulary_is_answered_with_the_known_ones():
    with pytest.raises(DataDefect, match="'nih15' is not known; known: pneumonia, nih14, chexpert14, shared7"):
        findings_of("nih15")
