"""Judges of links: T2, T3, T6 and T8."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from glasstumbler.lab.public import Ints
from glasstumbler.lab.results import Curve, CurveKind, Role, Row
from glasstumbler.lab.scoring import linking
from glasstumbler.lab.scoring.bootstrap import Floats
from glasstumbler.lab.scoring.checked import Columns
from glasstumbler.lab.scoring.judge import Part, Verdict, Who, measured, parts
from glasstumbler.lab.scoring.linking import PARTS, Judged, Measures, Named
from glasstumbler.lab.scoring.ranking import curve
from glasstumbler.lab.scoring.scene import Asked, Scene

_MEASURES: Final[dict[str, Measures]] = {
    "T2": linking.RANKS,
    "T3": linking.MATCHES,
    "T6": linking.MATCHES,
    "T8": linking.RANKS,
}
EXAMPLES: Final = 5


def _lift(sums: Floats) -> Floats:
    """Of T3's parts with T2's beside them."""
    found: Floats = linking.MATCHES["F1"](sums[..., :PARTS]) - linking.FIRST_F1(sums[..., PARTS:])
    return found


class LinkJudge:
    def __init__(self, scene: Scene, task: str, own: Ints) -> None:
        self.task, self._scene = task, scene
        self.asked: Asked = scene.asked(task, own)
        self._service, self._volume = scene.service_of[self.asked.rows], scene.volume_of[self.asked.rows]
        self.reference: dict[Role, Floats] = {}
        """By role: parts of what a method is held against. T3: links one by one (T2). T8: what is known without own
        orders."""

    def parts(self, answer: Columns) -> Floats:
        return linking.judge(self._named(answer), self.asked.key, True).parts

    def _named(self, answer: Columns) -> Named:
        """T6 asks for one payout, so what a deposit's best score has is the answer."""
        named = self._scene.named(answer)
        return linking.firsts(named, len(self.asked.key.order_of)) if self.task == "T6" else named

    def judge(self, who: Who, answers: Iterable[Columns], left_out: str = "") -> Verdict:
        (answer,) = answers
        named = self._named(answer)
        judged = linking.judge(named, self.asked.key, who.calibrated)
        if left_out:
            chosen = self._service == self._scene.services.index(left_out)
            return Verdict(self._rows(who, judged.parts[chosen], Part(left_out, 0, chosen), left_out), [], [])
        rows = []
        for part in parts(self._service, self._scene.services, self._volume):
            units = judged.parts[part.chosen]
            if not part.service and not part.volume:
                units = np.concatenate([units, _stray(judged)])
            rows += self._rows(who, units, part)
            rows += self._compared(who, judged.parts, part)
        return Verdict(rows, self._curves(who, named, judged), self._examples(named, judged), judged.parts)

    def _rows(self, who: Who, units: Floats, part: Part, left_out: str = "") -> list[Row]:
        measures = dict(_MEASURES[self.task])
        if who.calibrated and self.task in ("T2", "T8"):
            measures |= linking.CLAIMS
        rows = measured(self.task, who, measures, units, part, left_out)
        orders = int(units[:, linking.ORDERS].sum())
        return [msgspec.structs.replace(one, n=orders) for one in rows]

    def _compared(self, who: Who, found: Floats, part: Part) -> list[Row]:
        """T3 beside T2, T8 beside what was known before; nothing where there is nothing to compare with."""
        before = self.reference.get(who.role)
        if before is None:
            return []
        if self.task == "T3":
            both = np.concatenate([found, before], 1)[part.chosen]
            return measured(self.task, who, {"lift over T2": _lift}, both, part)
        if not who.calibrated:
            return []
        gained = found.copy()
        gained[:, linking.GAIN] = before[:, linking.SURPRISE] - found[:, linking.SURPRISE]
        return measured(self.task, who, linking.BITS, gained[part.chosen], part)

    def _curves(self, who: Who, named: Named, judged: Judged) -> list[Curve]:
        counts = linking.counted(named, self.asked.key, judged.right)
        score, right = named.score[counts], judged.right[counts]
        found = curve(score, right == 1, int(judged.parts[:, linking.TRUE].sum()))
        both: list[tuple[CurveKind, Floats, Floats, Ints]] = [
            ("precision-recall", found.recall, found.precision, found.named)
        ]
        if who.calibrated:
            both.append(("calibration", *linking.calibration(score, right)))
        return [
            Curve(self.task, who.name, who.role, kind, x.tolist(), y.tolist(), n.tolist()) for kind, x, y, n in both
        ]

    def _examples(self, named: Named, judged: Judged) -> list[str]:
        """Of different deposits."""
        wrong = linking.surest(named.deposit, named.score, judged.right == 0, EXAMPLES)
        return [self._example(named, link) for link in wrong.tolist()]

    def _example(self, named: Named, link: int) -> str:
        key, orders = self.asked.key, self._scene.dataset.orders
        order = int(key.order_of[named.deposit[link]])
        deposit, payout = self._scene.name_of(int(named.deposit[link])), self._scene.name_of(int(named.payout[link]))
        said = f"{deposit} to {payout} at {named.score[link]:.3g}"
        if order < 0:
            return f"{said}; that is no order's deposit, or of one that was not paid out on a chain"
        line = orders.row(int(self.asked.rows[order]), named=True)
        true = key.payouts[key.first[order] : key.first[order + 1]]
        mine = (named.deposit == named.deposit[link]) & np.isin(named.payout, true)
        best = f"at {named.score[mine].max():.3g}" if mine.any() else "not named"
        names = ", ".join(self._scene.name_of(int(one)) for one in true[:3]) + (", ..." if len(true) > 3 else "")
        return f"{said}; it is order {line['order_id']} of {line['service']}, paid by {names} ({best})"


def _stray(judged: Judged) -> Floats:
    """Links for what is no order's deposit: they count as links, and no order stands behind them."""
    found = np.zeros((len(judged.stray), PARTS))
    found[:, linking.EDGES] = judged.stray
    return found
