"""BIP 32 and the key ring: published vectors, embit as an oracle, paths."""

import json
from pathlib import Path

import base58
import pytest
from embit import bip32
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains.keys import BRANCHES, HARDENED, ORDER, KeyRing, account, master, public_key

VECTORS = json.loads((Path(__file__).parent / "vectors" / "bip32.json").read_text())["seeds"]
SEED = bytes(range(32))
indices = st.integers(0, HARDENED - 1)


def _numbers(path):
    """m/0H/1 as [2**31, 1]."""
    return [int(step.rstrip("H'")) + (HARDENED if step[-1] in "H'" else 0) for step in path.split("/")[1:]]


@pytest.mark.parametrize(
    ("seed", "path", "xpub", "xprv"),
    [(seed, *row) for seed, rows in VECTORS.items() for row in rows],
)
def test_published_vectors(seed, path, xpub, xprv):
    node = master(bytes.fromhex(seed)).path(_numbers(path))
    private, public = base58.b58decode_check(xprv), base58.b58decode_check(xpub)
    assert node.chain_code == private[13:45]
    assert node.secret == private[46:]
    assert public_key(node.secret) == public[45:]


@given(seed=st.binary(min_size=16, max_size=64), path=st.lists(st.integers(0, 2**32 - 1), max_size=4))
def test_agrees_with_embit(seed, path):
    theirs = bip32.HDKey.from_seed(seed).derive(path)
    node = master(seed).path(path)
    assert (node.secret, node.chain_code) == (theirs.secret, theirs.chain_code)


@given(
    coin=st.sampled_from(["btc", "ltc", "bch", "eth", "xmr"]),
    service=st.text(max_size=20),
    branch=st.sampled_from(sorted(BRANCHES)),
    index=indices,
)
def test_the_ring_follows_its_documented_path(coin, service, branch, index):
    path = [HARDENED + 84, HARDENED + 1, HARDENED + account(coin, service), BRANCHES[branch], index]
    theirs = bip32.HDKey.from_seed(SEED).derive(path)
    ring = KeyRing(SEED)
    assert ring.secret(coin, service, branch, index) == theirs.secret
    assert ring.public(coin, service, branch, index) == theirs.key.get_public_key().sec()


def test_every_use_has_its_own_key():
    ring = KeyRing(SEED)
    secrets = [
        ring.secret(coin, service, branch, index)
        for coin in ("btc", "ltc", "bch")
        for service in ("bestmixer", "btcmix", "coinjoin", "whir", "xmrto")
        for branch in BRANCHES
        for index in range(5)
    ]
    assert len(set(secrets)) == len(secrets)


def test_the_same_seed_gives_the_same_keys_and_another_seed_others():
    assert KeyRing(SEED).secret("btc", "whir", "deposit", 7) == KeyRing(SEED).secret("btc", "whir", "deposit", 7)
    assert KeyRing(SEED[:-1]).secret("btc", "whir", "deposit", 7) != KeyRing(SEED).secret("btc", "whir", "deposit", 7)


@pytest.mark.parametrize(("branch", "index"), [("payout", 0), ("deposit", -1), ("deposit", HARDENED)])
def test_unknown_branches_and_indices_are_refused(branch, index):
    with pytest.raises(ValueError, match="no key"):
        KeyRing(SEED).secret("btc", "whir", branch, index)


@pytest.mark.parametrize("seed", [b"", bytes(15), bytes(65)])
def test_seeds_have_16_to_64_bytes(seed):
    with pytest.raises(ValueError, match="16 to 64"):
        KeyRing(seed)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), ORDER.to_bytes(32, "big"), bytes(33)])
def test_what_is_no_private_key_has_no_public_key(secret):
    with pytest.raises(ValueError):
        public_key(secret)
