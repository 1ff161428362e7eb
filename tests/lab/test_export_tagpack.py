"""TagPacks against the schema, the taxonomy and the confidences that graphsense-tagpack-tool publishes.

The tool itself judges them too, where `make readers` has brought it (`make test` does). It pulls in a hundred packages
(a web framework, a database driver), so it has an environment of its own, and most tests hold its rules, as
`TagPack.validate` of its version 25.8.1 applies them: fields known, mandatory ones there or inherited, types,
taxonomies, no tag twice.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from glasstumbler.lab.exports import tagpack
from glasstumbler.lab.exports.formats import export
from glasstumbler.lab.tasks import Dataset
from tests.lab.conftest import rows_of

ROOT = Path(__file__).parents[2]
HEADER = {"title": str, "creator": str, "description": str, "owner": str, "is_public": bool, "tags": list}
MANDATORY_HEADER = {"title", "creator", "tags"}
TAG = {
    **dict.fromkeys(("label", "source", "currency", "network", "context", "confidence", "category", "abuse"), str),
    **dict.fromkeys(("address", "tx_hash", "actor", "tag_type"), str),
    **{"is_cluster_definer": bool, "concepts": list},
}
MANDATORY_TAG = {"label", "source", "currency", "network", "confidence"}
CONFIDENCES = {"override", "ownership", "manual_transaction", "service_api", "authority_data", "trusted_provider"}
CONFIDENCES |= {"service_data", "forensic", "untrusted_transaction", "web_crawl", "heuristic", "unknown"}
CONCEPTS = {"mixing_service", "exchange", "mixing", "coinjoin", "service"}
"""Of db/concepts.yaml, those near to ours."""


class Unique(yaml.SafeLoader):
    """As the tool's loader: a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        assert len(keys) == len(set(keys))
        return super().construct_mapping(node, deep)


def valid(pack: dict[str, Any]) -> list[dict[str, Any]]:
    """The tags, with what they inherit."""
    assert set(pack) >= MANDATORY_HEADER and set(pack) <= set(HEADER) | set(TAG)
    shared = {field: value for field, value in pack.items() if field in TAG}
    tags = [{**shared, **tag} for tag in pack["tags"]]
    for tag in tags:
        assert set(tag) >= MANDATORY_TAG
        assert all(value is not None and isinstance(value, TAG[field]) for field, value in tag.items())
        assert tag["confidence"] in CONFIDENCES and set(tag["concepts"]) <= CONCEPTS
    assert len({(tag["address"], tag["network"], tag["label"]) for tag in tags}) == len(tags)
    return tags


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tagpack") / "out"
    export(folder, "tagpack", out)
    return out


def packs(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.yaml")):
        yield yaml.load(path.read_text(), Unique)  # type: ignore[no-untyped-call]


def test_what_the_observer_knows_stands_in_public(folder: Path, out: Path) -> None:
    names = {(row["coin"], row["address"]): row["name"] for row in rows_of(folder, "observer/address")}
    tagged = rows_of(folder, "observer/public_tag")
    tags = [tag for pack in packs(out / "public") for tag in valid(pack)]
    assert {(tag["currency"].lower(), tag["address"], tag["label"]) for tag in tags} == {
        (row["coin"], names[row["coin"], row["address"]], row["label"]) for row in tagged
    }
    assert {tag["confidence"] for tag in tags} == {"manual_transaction"}


def test_every_address_of_a_service_that_its_chain_shows_stands_in_services(folder: Path, out: Path) -> None:
    seen = {(row["coin"], row["name"]) for row in rows_of(folder, "observer/address")}
    known = {(row["coin"], row["address"], row["service"]) for row in rows_of(folder, "answers/wallet_truth")}
    tags = [tag for pack in packs(out / "services") for tag in valid(pack)]
    assert {(tag["currency"].lower(), tag["address"], tag["label"]) for tag in tags} == {
        row for row in known if row[:2] in seen
    }
    assert {tag["concepts"][0] for tag in tags if tag["label"] == "xmrto"} == {"exchange"}
    assert {tag["concepts"][0] for tag in tags if tag["label"] != "xmrto"} == {"mixing_service"}


def test_no_pack_speaks_of_a_live_chain(out: Path) -> None:
    for pack in packs(out / "services"):
        assert pack["network"] in {"BTC-REGTEST", "BCH-REGTEST", "ETH-PRIVATE-TESTNET"}
        assert "Synthetic data from private test chains" in pack["description"]
        assert "test chain" in pack["title"] and "test chains" in pack["creator"] and "dataset" in pack["source"]
        addresses = [tag["address"] for tag in pack["tags"]]
        first = {"BTC": ("bcrt1", "m", "n", "2"), "BCH": ("bchreg:",), "ETH": ("0x",)}[pack["currency"]]
        assert addresses and all(address.startswith(first) for address in addresses)


@pytest.fixture
def tool(tmp_path: Path) -> Callable[[Path], tuple[int, str]]:
    """Validates a folder's packs: exit code, and what it says."""
    program = ROOT / ".readers" / "bin" / "tagpack-tool"
    if not program.exists():
        pytest.skip("the published tagpack-tool is not here: make readers")
    quiet = {"HOME": str(tmp_path), "PATH": os.defpath}

    def validate(folder: Path) -> tuple[int, str]:
        command = [str(program), "tagpack", "validate", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=quiet, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr

    return validate


def test_the_published_tool_takes_every_pack(out: Path, tool: Callable[[Path], tuple[int, str]]) -> None:
    code, said = tool(out)
    many = len(list(out.rglob("*.yaml")))
    assert code == 0 and many > 5 and f"{many}/{many} TagPacks passed" in said


def test_the_published_tool_sees_what_is_wrong(
    out: Path, tmp_path: Path, tool: Callable[[Path], tuple[int, str]]
) -> None:
    pack = next(packs(out / "public"))
    pack["confidence"] = "hearsay"
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "wrong.yaml").write_text(yaml.safe_dump(pack))
    code, said = tool(tmp_path / "public")
    assert code != 0 and "hearsay" in said


def test_a_file_has_no_more_tags_than_tools_read(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagpack, "MOST_TAGS", 3)
    tagpack.write(Dataset(folder), tmp_path)
    files = sorted(path.name for path in (tmp_path / "services").glob("whir-btc-*.yaml"))
    sizes = [len(yaml.safe_load((tmp_path / "services" / name).read_text())["tags"]) for name in files]
    assert len(files) > 1 and set(sizes[:-1]) == {3} and 0 < sizes[-1] <= 3
