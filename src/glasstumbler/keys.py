"""API keys of the services: made and blocked in the record, by the command and by the console."""

from __future__ import annotations

import random

from glasstumbler.engine import ledger
from glasstumbler.engine.commands import Account
from glasstumbler.errors import SettingsError
from glasstumbler.store.base import Store
from glasstumbler.store.records import KeyRow, Records
from glasstumbler.vault import Vault, key_row, new_key


def make(store: Store, vault: Vault, service: str, now: int) -> tuple[str, Account]:
    """A new key, and what belongs to it. Only a hash is kept: whoever wants the key has to write it down."""
    key = new_key(service, random.SystemRandom())
    row = key_row(service, key, now)
    store.write(lambda records: add(records, row))
    return key, vault.account(row)


def add(records: Records, row: KeyRow) -> None:
    records.add_key(row)
    records.append(ledger.Entry("key added", row.created, row.service))


def block(store: Store, service: str, key: str, now: int) -> KeyRow:
    """For good; `key` is a key or its id. SettingsError if the service has no such key."""
    row = find(store, service, key)

    def unit(records: Records) -> None:
        records.block_key(row)
        records.append(ledger.Entry("key blocked", now, service))

    store.write(unit)
    return row


def find(store: Store, service: str, key: str) -> KeyRow:
    wanted = key_row(service, key, 0).key_hash
    for row in store.read(lambda records: records.keys()):
        if row.service == service and (row.id == key or row.key_hash == wanted):
            return row
    raise SettingsError(f"{service} has no such key; `glasstumbler keys list {service}` prints the ids of those it has")
