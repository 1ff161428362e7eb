"""The source itself: SQL made of constants, secrets compared in constant time, dependencies pinned and used."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import glasstumbler

HOUSE = Path(glasstumbler.__file__).parent
ROOT = Path(__file__).parent.parent
FILES = {str(path.relative_to(HOUSE)): ast.parse(path.read_text()) for path in sorted(HOUSE.rglob("*.py"))}

# -- SQL --------------------------------------------------------------------------------------------------------------

_SQL = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA|CREATE|DROP|ALTER|TRUNCATE|WHERE|VALUES|LISTEN|NOTIFY)\b"
)
PLACED = {
    "audit.py": {"kept.number"},
    "audit_chain.py": {"self._coin"},
    "audit_payments.py": {"sql", "marks"},
    "audit_entries.py": {"_SELECT", "where", "first - 1"},
    "audit_file.py": {"MOST"},
    "backup_chain.py": {"coin"},
    "chains/blocklog.py": {"synchronous"},
    "chains/lightning.py": {"columns"},
    "explorer/chain_index.py": {"table", "marks"},
    "explorer/file.py": {"_PATIENCE_MS", "-_CACHE_KIB", "FORM", "name"},
    "explorer/look.py": {"marks", "_ADDRESS"},
    "explorer/tally.py": {"table"},
    "store/copying.py": {"columns", "table", "marks"},
    "store/postgres.py": {"lock", "self._lock", "self._id", "mark", "reached"},
    "store/listing.py": {"where"},
    "store/records.py": {"_WATCHED", "_OPEN", "marks"},
    "torture/disk.py": {"_CHECKPOINT_PAGES", "most"},
    "store/sqlite.py": {"_WHOLE_FILE", "reached", "-_READER_CACHE_KIB", "'OFF' if self._temporary else 'FULL'"},
}
"""What is written into statements, looked at one by one: numbers of ours, names out of this source, question marks,
random hex of this process. Values from requests, files and chains are placeholders."""


def sql_with_something_in_it(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and expression of whatever is put into a text that looks like SQL."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and _SQL.search(_constant(node)):
            yield from ((node.lineno, ast.unparse(v.value)) for v in node.values if isinstance(v, ast.FormattedValue))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
            sides = (node.left, node.right)
            if any(_SQL.search(_constant(side)) for side in sides):
                yield from ((node.lineno, ast.unparse(side)) for side in sides if not _is_constant(side))
        elif (
            isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".format") and _SQL.search(ast.unparse(node))
        ):
            yield node.lineno, ast.unparse(node)


def _constant(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_constant(value) for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_constant(node: ast.AST) -> bool:
    """A constant, or a choice between constants."""
    return isinstance(node, ast.Constant) or (
        isinstance(node, ast.IfExp) and _is_constant(node.body) and _is_constant(node.orelse)
    )


@pytest.mark.parametrize("name", FILES)
def test_no_value_is_written_into_sql(name: str) -> None:
    placed = [
        f"{name}:{line}: {what}"
        for line, what in sql_with_something_in_it(FILES[name])
        if what not in PLACED.get(name, set())
    ]
    assert not placed, "a placeholder (?) takes it; or, if it is a name of ours, the table above"


@pytest.mark.parametrize(
    "source",
    [
        'f"SELECT doc FROM orders WHERE id = {name}"',
        '"DELETE FROM orders WHERE id = %s" % name',
        '"SELECT doc FROM orders WHERE id = " + name',
        '"UPDATE orders SET id = {}".format(name)',
    ],
)
def test_a_value_in_sql_would_be_found(source: str) -> None:
    assert [what for _, what in sql_with_something_in_it(ast.parse(source)) if "name" in what]


# -- comparisons ------------------------------------------------------------------------------------------------------

_SECRET = re.compile(
    r"(?i)\b(token|secret|api_key|master|password|passphrase|signature|mac)\b|_(token|secret|key_hash)\b"
)
COMPARED = {
    "cli.py": {"row.key_hash == wanted"},  # the owner's own command, over the owner's own rows
    "chains/keys.py": {"secret == 0"},  # BIP 32: no key
}


@pytest.mark.parametrize("name", FILES)
def test_secrets_are_compared_in_constant_time(name: str) -> None:
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(FILES[name])
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
        and any(_SECRET.search(_name(side)) for side in (node.left, *node.comparators))
        and ast.unparse(node) not in COMPARED.get(name, set())
    ]
    assert not found, "hmac.compare_digest compares secrets"


def _name(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def test_both_ends_that_take_a_secret_compare_digests() -> None:
    """The lab token, and the proof between processes of one laboratory."""
    using = {name for name, tree in FILES.items() if "compare_digest" in ast.unparse(tree)}
    assert {"web/lab_api.py", "chains/line.py"} <= using


# -- dependencies -----------------------------------------------------------------------------------------------------

LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = {
    "eth-account": "eth_account",
    "jinja2": "jinja2",
    "markdown-it-py": "markdown_it",
    "markupsafe": "markupsafe",
    "prometheus-client": "prometheus_client",
    "psycopg": "psycopg",
    "py-bitcoinkernel": "pbk",
    "pycryptodome": "Crypto",
    "scikit-learn": "sklearn",
    "pynacl": "nacl",
    "pyyaml": "yaml",
}
"""Where a package's module has another name."""


def pinned(lock: str) -> dict[str, str]:
    """Each pinned package with the text up to the next one."""
    parts = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return {part.split("==")[0].split("[")[0].strip(): part for part in parts if "==" in part}


@pytest.mark.parametrize("file", ["requirements.lock", "scripts/uv.lock", "scripts/readers.lock"])
def test_every_dependency_is_pinned_with_hashes(file: str) -> None:
    lines = (ROOT / file).read_text()
    packages = pinned(lines)
    assert packages
    assert [name for name, part in packages.items() if "--hash=sha256:" not in part] == []
    assert not re.search(r"^\s*(-e|--extra-index-url|--find-links|--trusted-host|https?:|git\+)", lines, re.MULTILINE)
    named = re.findall(r"^[a-z0-9][^;\\]*", lines, re.MULTILINE)
    assert [name for name in named if not re.fullmatch(r"\S+==\S+\s*", name)] == [], "pinned to one version"


def test_what_the_project_names_is_pinned() -> None:
    named = {re.split(r"[\[<>=~; ]", each)[0].lower() for each in PROJECT["project"]["dependencies"]}
    assert named <= set(pinned(LOCK))


def test_no_dependency_goes_unused() -> None:
    imported = {
        (node.module or "").split(".")[0]
        for tree in FILES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    imported |= {
        name.name.split(".")[0]
        for tree in FILES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    }
    named = [re.split(r"[\[<>=~; ]", each)[0].lower() for each in PROJECT["project"]["dependencies"]]
    quiet = {"uvloop", "httptools"}  # uvicorn takes them where they are installed
    assert [name for name in named if MODULES.get(name, name) not in imported and name not in quiet] == []
