"""The report's colours, each for a light and a dark page, of the page and of its figures.

A figure is drawn in the light colours. Each stands in it as an attribute, and a rule of the style sheet puts the dark
one in its place: so one drawing serves both pages, and a viewer that knows no style sheet shows the light one.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Tone(NamedTuple):
    light: str
    dark: str


TONES: Final = {
    "paper": Tone("#ffffff", "#11181c"),
    "panel": Tone("#f4f7f8", "#182126"),
    "ink": Tone("#16232a", "#e6edf0"),
    "soft": Tone("#55646c", "#a3b3bb"),
    "rule": Tone("#d3dcdf", "#314047"),
    "grid": Tone("#e3e9eb", "#2a373d"),
    "chance": Tone("#6b7880", "#94a4ac"),
    "ceiling": Tone("#16242b", "#e6edf1"),
    "own": Tone("#b3450b", "#ff9d5c"),
    "wrong": Tone("#b3450c", "#ff9d5d"),
    "wrong-fill": Tone("#fdeee3", "#3a2413"),
    "right": Tone("#0a6c80", "#5ccbdd"),
    "right-fill": Tone("#dcf1f4", "#10343c"),
    "note": Tone("#8a1f2b", "#ffb3ba"),
    "note-fill": Tone("#fdf0f0", "#331a1d"),
    "line-1": Tone("#0068b3", "#5fb2ff"),
    "line-2": Tone("#007a53", "#3fd6a0"),
    "line-3": Tone("#98308a", "#f29ae6"),
    "line-4": Tone("#7a5c00", "#e3c04a"),
    "line-5": Tone("#4b3fb0", "#b1a8ff"),
    "line-6": Tone("#93153a", "#ff8da8"),
}
"""Every light colour once, so that it can be told by itself."""
LINES: Final = tuple(tone.light for name, tone in TONES.items() if name.startswith("line-"))
"""Of methods, in their order. Lines differ in dashes and marks too (charts.py): nobody need tell them by colour."""


def light(name: str) -> str:
    return TONES[name].light


def page_rules() -> str:
    """Style sheet of the page: the colours as variables, and the figures' colours by them. Paper is light."""
    return (
        f":root{{{_variables(0)}}}\n"
        f"@media screen and (prefers-color-scheme: dark){{:root{{{_variables(1)}}}}}\n"
        + "\n".join(
            f'figure [{what}="{tone.light}"]{{{what}:var(--{name})}}'
            for name, tone in TONES.items()
            for what in ("fill", "stroke")
        )
    )


def figure_rules() -> str:
    """Style sheet within a figure that is a file of its own."""
    rules = "".join(
        f'[{what}="{tone.light}"]{{{what}:{tone.dark}}}' for tone in TONES.values() for what in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme: dark){{{rules}}}"


def _variables(theme: int) -> str:
    return ";".join(f"--{name}:{tone[theme]}" for name, tone in TONES.items())
