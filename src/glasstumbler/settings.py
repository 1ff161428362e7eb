"""Settings: a TOML file and the environment over documented defaults. Unknown names are errors, never ignored.

The defaults are the fields of the settings' own classes; each decision that the documents leave open is one of them.
Environment: GLASSTUMBLER__<TABLE>__<FIELD>, deeper tables joined by two underscores, values as in TOML.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from glasstumbler.errors import SettingsError

T = TypeVar("T", bound=msgspec.Struct)
PREFIX = "GLASSTUMBLER__"
_NOT_TOML = (ValueError, RecursionError)
"""What tomllib raises: its own error, a number of thousands of digits (ValueErrors both), nesting without end."""


def load(path: Path | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """The tables of a TOML file with the environment's values over them; SettingsError says where it is wrong."""
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"cannot read the settings {path}: {why}") from None
        except _NOT_TOML as error:
            raise SettingsError(f"{path} is not TOML: {error}") from None
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX):
            _put(tables, name.removeprefix(PREFIX).lower().split("__"), _value(value), name)
    return tables


def over(default: T, table: Any, where: str) -> T:
    """`default` with a table's values in place of its own, tables within tables likewise; SettingsError names the
    table and the setting."""
    fields = {name: getattr(default, name) for name in default.__struct_fields__}
    merged = {**msgspec.to_builtins(default), **_given(fields, table, where)}
    try:
        return msgspec.convert(merged, type(default))
    except msgspec.ValidationError as error:
        why, _, place = str(error).partition(" - at ")
        name = place.strip("`$.")
        raise SettingsError(f"[{where}] {name}: {why}" if name else f"[{where}]: {why}") from None


def _given(known: Mapping[str, Any], table: Any, where: str) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise SettingsError(f"[{where}] is a table of settings, not {table!r}")
    for name in table:
        if name not in known:
            names = ", ".join(sorted(known)) or "nothing"
            raise SettingsError(f"[{where}] has no setting {name!r}; it knows {names}")
    return {name: _value_over(known[name], value, f"{where}.{name}") for name, value in table.items()}


def _value_over(default: Any, value: Any, where: str) -> Any:
    if isinstance(default, msgspec.Struct):
        return msgspec.to_builtins(over(default, value, where))
    if isinstance(default, dict):
        return msgspec.to_builtins(default) | _given(default, value, where)
    return value


def _put(tables: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    *parents, last = path
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise SettingsError(f"{name}: {parent} is a value, not a table")
    tables[last] = value


def _value(raw: str) -> Any:
    """A value as TOML spells it; bare words are text."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except _NOT_TOML:
        return raw
