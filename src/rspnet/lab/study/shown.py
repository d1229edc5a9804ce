"""Which scores of a study are shown, in tables and in pictures, and what they are called."""

from __future__ import annotations

from rspnet.lab.study.row_scores import FINETUNED, WHOLE_LINEAR, WHOLE_RECALL1
from rspnet.lab.study.spec import Study

SCORES = {
    "linear": "linear probe",
    "recall1": "R@1",
    "recall5": "R@5",
    "few": "5 labels a class",
    WHOLE_LINEAR: "all channels: linear",
    WHOLE_RECALL1: "all channels: R@1",
    FINETUNED: "fine-tuned",
}
"""On test videos; which of them a study has depends on its classifier and on whether it fine-tunes."""
_LOGISTIC_ONLY = ("recall5", "few")
_RIDGE_ONLY = (WHOLE_LINEAR, WHOLE_RECALL1)
_TUNING_SCORES = {"linear_validation": "linear probe, validation", "recall1_validation": "R@1, validation"}
_TABLES_ONLY = (*_LOGISTIC_ONLY, *_RIDGE_ONLY)


def shown_scores(study: Study) -> dict[str, str]:
    """Score -> its name, of all in the tables; those on validation videos only where the study tunes."""
    if study.tuning:
        return _TUNING_SCORES
    absent: tuple[str, ...] = _LOGISTIC_ONLY if study.view.classifier == "ridge" else _RIDGE_ONLY
    absent += () if study.finetune else (FINETUNED,)
    return {score: name for score, name in SCORES.items() if score not in absent}


def main_scores(study: Study) -> dict[str, str]:
    """The scores shown that are drawn, and tested against the reference."""
    return {score: name for score, name in shown_scores(study).items() if score not in _TABLES_ONLY}
