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


def load(path: Path | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """The tables of a TOML file with the environment's values over them; SettingsError says where it is wrong."""
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read the settings {path}: {error}") from None
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{path} is not TOML: {error}") from None
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX):
            _put(tables, name.removeprefix(PREFIX).lower().split("__"), _value(value), name)
    return tables


def over(default: T, table: Mapping[str, Any], where: str) -> T:
    """`default` with a table's values in place of its own, tables within tables likewise."""
    merged = _merge(msgspec.to_builtins(default), table, where)
    try:
        return msgspec.convert(merged, type(default))
    except msgspec.ValidationError as error:
        raise SettingsError(f"[{where}]: {error}") from None


def _merge(default: Any, table: Any, where: str) -> Any:
    if not isinstance(default, dict) or not isinstance(table, Mapping):
        return table
    unknown = sorted(set(table) - set(default))
    if unknown:
        known = ", ".join(sorted(default)) or "nothing"
        raise SettingsError(f"[{where}] has no setting {unknown[0]!r}; it knows {known}")
    return {
        key: _merge(value, table[key], f"{where}.{key}") if key in table else value for key, value in default.items()
    }


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
    except tomllib.TOMLDecodeError:
        return raw
