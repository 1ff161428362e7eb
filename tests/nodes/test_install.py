"""What `make nodes` installs is pinned with hashes, names no registry, and is installed once."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from tests.nodes.conftest import needs_installed

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts" / "nodes"


def test_every_npm_package_is_pinned_by_its_hash_and_names_no_registry() -> None:
    text = (SCRIPTS / "npm" / "package-lock.json").read_text()
    packages = {name: each for name, each in json.loads(text)["packages"].items() if name}
    assert len(packages) > 100
    assert [name for name, each in packages.items() if not each.get("integrity", "").startswith("sha512-")] == []
    assert not re.search(r"resolved|https?:", text)


def test_no_install_script_of_a_package_runs() -> None:
    assert "ignore-scripts=true" in (SCRIPTS / "npm" / ".npmrc").read_text().splitlines()


def test_every_go_module_is_pinned_by_its_hash() -> None:
    sums = (SCRIPTS / "go" / "go.sum").read_text().splitlines()
    assert all(re.fullmatch(r"\S+ v\S+ h1:[A-Za-z0-9+/]{43}=", line) for line in sums)
    assert any("lightningnetwork/lnd " in line for line in sums)


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    """`make nodes` has run before the tests. An npm that fails shows that it is not asked."""
    needs_installed()
    (tmp_path / "npm").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    target = (ROOT / "nodes-bin").resolve()
    said = subprocess.run(["sh", SCRIPTS / "npm.sh", target], env=environment, capture_output=True, check=False)
    assert said.returncode == 0, "`make nodes` was not run since it changed"
    assert said.stdout == b""


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    for tool in ("cat", "dirname"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    environment = {**os.environ, "PATH": str(tmp_path)}
    said = subprocess.run(
        ["/bin/sh", SCRIPTS / "npm.sh", tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert said.stderr == "node is needed for bcash, bcoin and anvil (Debian: apt-get install nodejs npm)\n"
