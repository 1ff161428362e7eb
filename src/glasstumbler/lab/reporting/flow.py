"""A traced order as a picture: its deposit, the service's wallet, the payouts, and who named which."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path

from glasstumbler.lab.links import brief, span
from glasstumbler.lab.reporting.canvas import WIDTH, Figure, axes, heading, label
from glasstumbler.lab.reporting.palette import light
from glasstumbler.lab.reporting.traced import Coin, Saying, Traced
from glasstumbler.money import text

_COLUMNS: Final = (8, 132, 246)
_WIDTHS: Final = (98, 88, 106)
_TOP, _BOX, _GAP, _ROUND = 58, 58, 10, 6
"""Points."""
_MOST_BOXES: Final = 5
"""Of wrongly named payouts; more are counted."""
_KEY_ROW: Final = 18
_WIDEST: Final = 9.0
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Target(NamedTuple):
    """A payout, and who named it."""

    coin: Coin
    right: bool
    letters: str


def money(coin: Coin) -> str:
    return "hidden amount" if coin.amount is None else brief(f"{text(coin.amount, coin.coin)} {coin.coin}", 6)


def lettered(traced: Traced) -> list[tuple[str, Saying]]:
    """Each method with the letter that stands for it; more than there are letters are not drawn."""
    return list(zip(LETTERS, traced.sayings, strict=False))


def targets(traced: Traced) -> list[Target]:
    """The order's payouts, then those that were named wrongly, the most often named first."""
    named: dict[tuple[str, int], str] = {}
    coins = {(coin.coin, coin.output): coin for coin in traced.payouts}
    for letter, saying in lettered(traced):
        for each in saying.named:
            key = each.payout.coin, each.payout.output
            coins.setdefault(key, each.payout)
            named[key] = named.get(key, "") + letter
    right = [Target(coin, True, named.get((coin.coin, coin.output), "")) for coin in traced.payouts]
    true = {(coin.coin, coin.output) for coin in traced.payouts}
    wrong = [Target(coins[key], False, letters) for key, letters in named.items() if key not in true]
    return right + sorted(wrong, key=lambda each: (-len(each.letters), each.coin.time, each.coin.output))


def figure(traced: Traced) -> Figure:
    ends = targets(traced)
    right, wrong = [end for end in ends if end.right], [end for end in ends if not end.right]
    shown, over = [*right, *wrong[:_MOST_BOXES]], len(wrong) - _MOST_BOXES
    rows = (len(lettered(traced)) + 1) // 2
    body = max(len(shown), len(traced.deposits), 2) * (_BOX + _GAP) + (_KEY_ROW if over > 0 else 0)
    paint = partial(_paint, traced=traced, shown=shown, over=over, body=body)
    title = f"Order {traced.order_id} of {traced.service}"
    return Figure("traced", title, _said(traced, ends), _TOP + body + 14 + rows * _KEY_ROW, paint)


def _said(traced: Traced, ends: Sequence[Target]) -> str:
    paid = ", ".join(f"{money(d)}" for d in traced.deposits)
    payouts, wrong = len(traced.payouts), sum(not end.right for end in ends)
    named = "; ".join(
        f"{saying.method} ({saying.task}) names {sum(each.right for each in saying.named)} of {payouts} rightly"
        f" and {sum(not each.right for each in saying.named)} wrongly"
        for saying in traced.sayings
    )
    return (
        f"A deposit of {paid} goes into the wallet of {traced.service}. Payouts of this order: {payouts}."
        f" Other payments that are named: {wrong}. {named}."
    )


# -- drawing ----------------------------------------------------------------------------------------------------------


def _paint(sheet: Sheet, traced: Traced, shown: Sequence[Target], over: int, body: int) -> None:
    heading(sheet, f"Order {label(traced.order_id, 20)} of {label(traced.service, 14)}")
    height = sheet.get_size_inches()[1] * 72
    field = axes(sheet, 0, 0, WIDTH, height)
    field.set_axis_off()
    field.set_xlim(0, WIDTH)
    field.set_ylim(height, 0)
    for x, width, head in zip(_COLUMNS, _WIDTHS, ("Deposit", "Wallet", "Payouts named"), strict=True):
        field.text(x + width / 2, _TOP - 12, head, ha="center", va="center", color=light("soft"), fontweight="bold")
    begin = traced.deposits[0].time
    wallet = _TOP + (body - _wallet_height(traced)) / 2
    mid = wallet + _wallet_height(traced) / 2
    for place, deposit in enumerate(traced.deposits):
        y = _TOP + (body - len(traced.deposits) * (_BOX + _GAP) + _GAP) / 2 + place * (_BOX + _GAP)
        _flow(field, (_COLUMNS[0] + _WIDTHS[0], y + _BOX / 2), (_COLUMNS[1], mid), 0.7, right=True)
        _box(field, 0, y, _BOX, "right", [money(deposit), f"output {deposit.output}"])
    whole = sum(coin.amount or 0 for coin in traced.payouts)
    for place, end in enumerate(shown):
        y = _TOP + place * (_BOX + _GAP)
        weight = (end.coin.amount or 0) / whole if whole and end.right else 0.0
        _flow(field, (_COLUMNS[1] + _WIDTHS[1], mid), (_COLUMNS[2], y + _BOX / 2), weight, end.right)
        _target(field, end, y, begin)
    if over > 0:
        field.text(
            _COLUMNS[2] + _WIDTHS[2] / 2, _TOP + body - _KEY_ROW / 2, f"and {over} more", ha="center", va="center"
        )
    _wallet(field, traced, wallet)
    _key(field, traced, _TOP + body + 16)


def _wallet_height(traced: Traced) -> float:
    return 42 + 28 * len(traced.coins_spent)


def _wallet(field: Axes, traced: Traced, y: float) -> None:
    lines = [f"of {label(traced.service, 11)}", "paid with"]
    for origin, count in traced.coins_spent:
        lines += [f"{count} coin" + "s" * (count > 1), _SHORT[origin]]
    _box(field, 1, y, _wallet_height(traced), "plain", lines, small_from=2)


_SHORT: Final = {
    "this order's deposit": "of this order",
    "other orders' deposits": "of other orders",
    "the service's float": "of its float",
    "change": "of its change",
    "swept coins": "that it swept",
    "stray coins": "gone astray",
}
_FACES: Final = {"right": ("right-fill", "right"), "wrong": ("wrong-fill", "wrong"), "plain": ("panel", "soft")}


def _box(
    field: Axes, column: int, y: float, height: float, kind: str, lines: Sequence[str], small_from: int = 1
) -> None:
    x, width = _COLUMNS[column], _WIDTHS[column]
    face, edge = (light(name) for name in _FACES[kind])
    style = "solid" if kind != "wrong" else (0, (4, 2.5))
    shape = f"round,pad=0,rounding_size={_ROUND}"
    field.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle=shape, facecolor=face, edgecolor=edge, linewidth=1.4, linestyle=style
        )
    )
    for row, line in enumerate(lines):
        strong = row < small_from
        field.text(
            x + width / 2, y + 15 + row * 14, line, ha="center", va="center", fontsize=10 if strong else 9.5,
            fontweight="bold" if strong else "normal",
        )  # fmt: skip


def _target(field: Axes, end: Target, y: float, begin: int) -> None:
    _box(
        field,
        2,
        y,
        _BOX,
        "right" if end.right else "wrong",
        [money(end.coin), f"after {span(end.coin.time - begin)} h"],
    )
    x = _COLUMNS[2] + 13
    if not end.letters:
        field.text(_COLUMNS[2] + _WIDTHS[2] / 2, y + 46, "named by none", ha="center", va="center", fontsize=9.5)
    for place, letter in enumerate(end.letters):
        _badge(field, x + place * 16, y + 45, letter, light("right" if end.right else "wrong"))


def _badge(field: Axes, x: float, y: float, letter: str, color: str) -> None:
    field.add_patch(Circle((x, y), 7, facecolor=color, edgecolor="none"))
    field.text(x, y + 0.4, letter, ha="center", va="center", fontsize=9.5, fontweight="bold", color=light("paper"))


def _flow(field: Axes, start: tuple[float, float], end: tuple[float, float], weight: float, right: bool) -> None:
    bend = (start[0] + end[0]) / 2
    path = Path([start, (bend, start[1]), (bend, end[1]), end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    field.add_patch(
        PathPatch(
            path, facecolor="none", edgecolor=light("right" if right else "wrong"), capstyle="butt",
            linewidth=1.6 + weight * _WIDEST if right else 1.3, linestyle="solid" if right else (0, (4, 2.5)),
            alpha=0.55 if right else 0.9, zorder=0.5,
        )
    )  # fmt: skip


def _key(field: Axes, traced: Traced, y: float) -> None:
    for place, (letter, saying) in enumerate(lettered(traced)):
        x, row = 16 + (place % 2) * (WIDTH / 2), y + place // 2 * _KEY_ROW
        _badge(field, x, row, letter, light("soft"))
        silent = "" if saying.named else " (silent)"
        field.text(x + 13, row, f"{label(saying.method, 18)} {saying.task}{silent}", va="center", fontsize=9.5)
