"""What the measures mean, in a sentence each, so that a page of scores is read without another one beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MEANINGS: Final = {
    "hit@1": "Share of orders of which the payment that is named first is one of their payouts.",
    "hit@5": "The same for the first five.",
    "hit@20": "The same for the first twenty.",
    "MRR": "Mean of 1 / place of the first right payout among those that are named.",
    "set F1": "F1 of the first named payments, as many as the order has payouts; a mean over orders.",
    "value recall": "Share of the order's value that this set holds, a mean over orders.",
    "coverage": "Share of orders for which anything is named.",
    "Brier": "Mean square of claimed probability less truth (0 or 1): less is better.",
    "anonymity set": "2 to the entropy of what is claimed: a choice among so many equal payments. It tells what"
    " the method believes, rightly or not.",
    "bits gained": "How many bits less the truth surprises with the investigator's own orders than without.",
    "precision": "Share of the named links that is right.",
    "recall": "Share of the true links that is named.",
    "F1": "Harmonic mean of precision and recall.",
    "lift over T2": "F1 of the joint answer, less that of the first links of the same kind of method one by one.",
    "PR-AUC": "Average precision over all thresholds of the score.",
    "precision at 0.1% false": "Precision where 0.1 % of what is not sought is taken for it.",
    "precision at 1.0% false": "Precision where 1 % of what is not sought is taken for it.",
    "B3 precision": "B-cubed: how much of an address's cluster is its owner's, a mean over addresses.",
    "B3 recall": "B-cubed: how much of its owner's addresses is in its cluster, a mean over addresses.",
    "B3 F1": "Harmonic mean of the two.",
    "pair precision": "Share of the pairs in one cluster that are of one owner.",
    "pair recall": "Share of the pairs of one owner that are in one cluster.",
    "ARI": "Adjusted Rand index: pairs that agree, less those that would by chance; 1 is perfect.",
    "over-merges": "Clusters that hold addresses of several owners: fewer are better.",
    "owners in one cluster": "The most owners that one cluster holds.",
    "value precision, custody": "Share of the tainted value that the service made of the seeds' coins.",
    "value recall, custody": "Share of what the service made of the seeds' coins that is tainted.",
    "flagged per true, custody": "Outputs that are tainted for one that is rightly so.",
    "value precision, beneficial": "Share of the tainted value that the depositor was paid.",
    "value recall, beneficial": "Share of what the depositor was paid that is tainted.",
    "flagged per true, beneficial": "Outputs that are tainted for one that is the depositor's.",
    "AUC": "Chance that a true pair of input and output is scored above a false one.",
    "deducible share": "Share of the true pairs that are claimed for sure.",
    "precision of the sure": "Share of the pairs claimed for sure that is true.",
}


def explained(measures: Iterable[str]) -> list[tuple[str, str]]:
    """Of each measure once; without those that nobody has explained."""
    return [(name, MEANINGS[name]) for name in dict.fromkeys(measures) if name in MEANINGS]
