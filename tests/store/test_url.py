"""Which store an address names."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasstumbler.errors import SettingsError
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.store.url import check_place, open_store
from tests.store.contract import add_code, check_record


def test_a_path_and_its_address_are_one_file(tmp_path: Path) -> None:
    first = open_store(tmp_path / "record.db")
    first.write(add_code("x"))
    second = open_store(f"sqlite:///{tmp_path}/record.db")
    assert isinstance(second, SqliteStore)
    assert second.read(check_record) == ["x"]
    first.close()
    second.close()


@pytest.mark.parametrize(
    "place", ["mysql://lab:secret@host/x", "record.db", "sqlite:record.db", "", "lab:secret@host", "POSTGRESQL://x"]
)
def test_other_addresses_are_refused_and_not_repeated(place: str) -> None:
    with pytest.raises(SettingsError, match="a store is sqlite:///PATH or postgresql://HOST/DATABASE") as refused:
        check_place(place)
    assert "secret" not in str(refused.value) and "host" not in str(refused.value)
