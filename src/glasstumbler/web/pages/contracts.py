"""A service's OpenAPI contract as the console shows it: operations, parameters, body fields, what each status means.

Pure. The five contracts are our own files, so what they do not use is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

_METHODS: Final = ("get", "post")
_DEEP: Final = 6


class Field(NamedTuple):
    """A parameter, or a field of a body. `name` is its path in the body: output[].address."""

    name: str
    where: str
    """path, query or body."""
    type: str
    required: bool
    says: str
    value: Any = None
    """An example, or the default."""


class Operation(NamedTuple):
    name: str
    method: str
    path: str
    summary: str
    group: str
    keyed: bool
    """Wants `Authorization: Bearer`."""
    parameters: tuple[Field, ...]
    fields: tuple[Field, ...]
    body: Any
    """The example body, or None."""
    statuses: Mapping[str, str]
    """What each status means."""


@cache
def operations(contract: str) -> tuple[Operation, ...]:
    """In the contract's order. Reading takes some ten milliseconds, once."""
    import yaml  # only whoever opens the console waits for it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    file = resources.files("glasstumbler.dialects") / "openapi" / f"{contract.removesuffix('.yaml')}.yaml"
    whole = yaml.load(file.read_bytes(), Loader=loader)  # noqa: S506  (a safe loader, the one written in C)
    return tuple(
        _operation(whole, path, method, item[method])
        for path, item in whole["paths"].items()
        for method in _METHODS
        if method in item
    )


def operation(contract: str, name: str) -> Operation | None:
    return next((each for each in operations(contract) if each.name == name), None)


def _operation(whole: Any, path: str, method: str, given: Any) -> Operation:
    content = given.get("requestBody", {}).get("content", {}).get("application/json", {})
    parameters = [_resolved(whole, each) for each in given.get("parameters", [])]
    return Operation(
        name=given["operationId"],
        method=method.upper(),
        path=path,
        summary=given["summary"],
        group=given.get("tags", [""])[0],
        keyed=bool(given.get("security", whole.get("security", []))),
        parameters=tuple(_parameter(whole, each) for each in parameters),
        fields=tuple(_fields(whole, content.get("schema", {}), "", _DEEP)),
        body=content.get("example"),
        statuses={
            str(status): _resolved(whole, said).get("description", "") for status, said in given["responses"].items()
        },
    )


def _parameter(whole: Any, given: Any) -> Field:
    schema = _resolved(whole, given["schema"])
    value = given.get("example", schema.get("default"))
    return Field(given["name"], given["in"], _type(whole, schema), bool(given.get("required")), _says(schema), value)


def _fields(whole: Any, schema: Any, under: str, deep: int) -> Iterator[Field]:
    """The fields of an object, those of objects within it after each. Where several forms are allowed, those of all."""
    schema = _resolved(whole, schema)
    seen: set[str] = set()
    for form in schema.get("oneOf", [schema]):
        form = _resolved(whole, form)
        for name, given in form.get("properties", {}).items():
            if name in seen or not deep:
                continue
            seen.add(name)
            inner = _resolved(whole, given)
            alone = "oneOf" not in schema
            required = name in form.get("required", ()) and (alone or _everywhere(whole, schema, name))
            yield Field(f"{under}{name}", "body", _type(whole, inner), required, _says(inner))
            if inner.get("type") == "array":
                yield from _fields(whole, inner["items"], f"{under}{name}[].", deep - 1)


def _everywhere(whole: Any, schema: Any, name: str) -> bool:
    return all(name in _resolved(whole, form).get("required", ()) for form in schema["oneOf"])


def _type(whole: Any, schema: Any) -> str:
    """In a word or a few: whole number 0 to 72 or string."""
    if "oneOf" in schema:
        return " or ".join(dict.fromkeys(_type(whole, _resolved(whole, form)) for form in schema["oneOf"]))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return f"exactly {schema['const']!r}" if schema["const"] != "" else "an empty string"
    kinds = schema.get("type", "anything")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds) + _bounds(schema)


_WORDS: Final = {"integer": "whole number", "array": "list", "object": "map"}


def _bounds(schema: Any) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f" {least} to {most}"
    if least is not None:
        return f" from {least}"
    if (above := schema.get("exclusiveMinimum")) is not None:
        return f" above {above}" + (f", up to {most}" if most is not None else "")
    return f" up to {most}" if most is not None else ""


def _says(schema: Any) -> str:
    """The contract's own words of a field, with the pattern that a text has to have."""
    parts = [schema["description"]] if "description" in schema else []
    if "pattern" in schema and "x00" not in schema["pattern"]:
        parts.append(f"Form: {schema['pattern']}")
    elif "maxLength" in schema:
        parts.append(f"At most {schema['maxLength']} characters.")
    return " ".join(parts)


def _resolved(whole: Any, given: Any) -> Any:
    """What a $ref stands for; words beside it hold on."""
    while "$ref" in given:
        found: Any = whole
        for step in given["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        given = found
    return given
