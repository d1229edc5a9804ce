"""Which scores of a study are shown, in tables and in pictures, and what they are called."""

from __future__ import annotations

from rspnet.lab.study.row_scores import FINETUNED
from rspnet.lab.study.spec import Study

SCORES = {
    "linear": "linear probe",
    "recall1": "R@1",
    "recall5": "R@5",
    "few": "5 labels a class",
    FINETUNED: "fine-tuned",
}
"""On test videos; `FINETUNED` only of a study that fine-tunes."""
_TUNING_SCORES = {"linear_validation": "linear probe, validation", "recall1_validation": "R@1, validation"}
_TABLES_ONLY = ("recall5", "few")


def shown_scores(study: Study) -> dict[str, str]:
    """Score -> its name, of all in the tables; those on validation videos only where the study tunes."""
    if study.tuning:
        return _TUNING_SCORES
    return SCORES if study.finetune else {score: name for score, name in SCORES.items() if score != FINETUNED}


def main_scores(study: Study) -> dict[str, str]:
    """The scores shown that are drawn, and tested against the reference."""
    return {score: name for score, name in shown_scores(study).items() if score not in _TABLES_ONLY}
