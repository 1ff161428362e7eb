"""Every method that stands here, by name. A new one gets a line in METHODS and its page in docs/methods.md follows:

python -m glasstumbler.lab.methods.page > docs/methods.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from glasstumbler.lab.methods.base import Method
from glasstumbler.lab.methods.chance import Chance, ChanceJoint, ChanceOwn, ChanceSwaps
from glasstumbler.lab.methods.change import Change
from glasstumbler.lab.methods.change_forest import ChangeForest
from glasstumbler.lab.methods.coinjoin import CoinJoinRule
from glasstumbler.lab.methods.cospend import CoSpend
from glasstumbler.lab.methods.demixing import Demixing, JointDemixing, OwnOrders
from glasstumbler.lab.methods.fifo_time import FifoTime
from glasstumbler.lab.methods.hybrid_motifs import HybridMotifs
from glasstumbler.lab.methods.link_entropy import LinkEntropy
from glasstumbler.lab.methods.mixing_patterns import MixingPatterns
from glasstumbler.lab.methods.peel_chain import PeelChain
from glasstumbler.lab.methods.reveals import Reveals
from glasstumbler.lab.methods.swap_match import SwapMatch
from glasstumbler.lab.methods.taint import Fifo, Haircut, Lifo, Poison, Tiho
from glasstumbler.lab.methods.taint_addresses import AddressTaint, AddressTaintFilter

_CLASSES: Final[tuple[type[Method], ...]] = (
    HybridMotifs,
    MixingPatterns,
    Chance,
    Demixing,
    Reveals,
    ChanceJoint,
    JointDemixing,
    FifoTime,
    CoSpend,
    Change,
    ChangeForest,
    PeelChain,
    Poison,
    Haircut,
    Fifo,
    Lifo,
    Tiho,
    AddressTaint,
    AddressTaintFilter,
    ChanceSwaps,
    SwapMatch,
    CoinJoinRule,
    LinkEntropy,
    ChanceOwn,
    OwnOrders,
)
METHODS: Final[Mapping[str, type[Method]]] = {method.name: method for method in _CLASSES}
"""In the order of the tasks, then of the years."""
LEFT_OUT: Final[Mapping[str, str]] = {
    "ring elimination, then the newest": "Moeser and others, An Empirical Analysis of Traceability in the Monero"
    " Blockchain (PoPETs 2018). It needs the rings of Monero's inputs. The observer's tables do not"
    " show them, so there is nothing that it could work on.",
}
"""Published methods that a dataset of this program gives nothing to work on, and why."""
