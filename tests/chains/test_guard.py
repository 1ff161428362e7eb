"""The one gate: what it lets through, what it refuses and by which name, and that nothing widens it."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

from glasstumbler.chains import guard
from glasstumbler.errors import BadAddress, BadInvoice, NotATestNetwork, RefusedNode

MAIN_GENESIS = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
MAIN_GENESIS_LTC = "12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2"
TESTNET3_GENESIS = "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943"
REGTEST = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
REGTEST_LTC = "530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9"


@pytest.mark.parametrize(
    ("coin", "seen"),
    [
        ("btc", {"genesis": REGTEST}),
        ("bch", {"genesis": REGTEST}),
        ("ltc", {"genesis": REGTEST_LTC}),
        ("eth", {"chain_id": 31337}),
        ("eth", {"chain_id": 1337}),
        ("xmr", {"nettype": "fakechain", "offline": True}),
        ("xmr", {"nettype": "stagenet", "model": True}),
        ("lightning", {"network": "regtest"}),
    ],
)
def test_private_test_chains_pass(coin, seen):
    guard.check_node(coin, **seen)


@pytest.mark.parametrize(
    ("coin", "seen"),
    [
        ("btc", {"genesis": MAIN_GENESIS}),
        ("btc", {"genesis": TESTNET3_GENESIS}),
        ("btc", {"genesis": REGTEST_LTC}),
        ("btc", {"genesis": REGTEST.upper()}),
        ("btc", {}),
        ("btc", {"chain": "regtest"}),
        ("bch", {"genesis": MAIN_GENESIS}),
        ("ltc", {"genesis": MAIN_GENESIS_LTC}),
        ("ltc", {"genesis": REGTEST}),
        ("eth", {"chain_id": 1}),
        ("eth", {"chain_id": 11155111}),
        ("eth", {"chain_id": "31337"}),
        ("xmr", {"nettype": "mainnet", "offline": True}),
        ("xmr", {"nettype": "fakechain", "offline": False}),
        ("xmr", {"nettype": "fakechain", "offline": 1}),
        ("xmr", {"nettype": "fakechain"}),
        ("xmr", {"nettype": "stagenet", "offline": True}),
        ("xmr", {"nettype": "mainnet", "model": True}),
        ("lightning", {"network": "mainnet"}),
        ("lightning", {"network": "testnet"}),
        ("doge", {"genesis": REGTEST}),
    ],
)
def test_every_other_node_is_refused(coin, seen):
    with pytest.raises(RefusedNode):
        guard.check_node(coin, **seen)


def test_a_refused_node_is_told_what_was_seen_and_what_is_allowed():
    with pytest.raises(RefusedNode) as refusal:
        guard.check_node("btc", genesis=MAIN_GENESIS)
    assert MAIN_GENESIS in str(refusal.value)
    assert REGTEST in str(refusal.value)


def test_address_forms():
    assert guard.check_address("btc", guard.bech32_prefix("bcrt")) == "segwit"
    assert guard.check_address("ltc", guard.version_byte(58)) == "p2sh"
    assert guard.check_address("bch", guard.cashaddr_prefix("bchreg")) == "cash"


@pytest.mark.parametrize(
    ("coin", "form"),
    [
        ("btc", guard.bech32_prefix("tb")),
        ("ltc", guard.bech32_prefix("tltc")),
        ("bch", guard.cashaddr_prefix("bchtest")),
        ("btc", guard.bech32_prefix("rltc")),
        ("bch", guard.bech32_prefix("bcrt")),
        ("btc", guard.version_byte(58)),
    ],
)
def test_public_test_networks_and_other_coins_are_bad_addresses(coin, form):
    with pytest.raises(BadAddress, match="0x3a" if "0x" in form else "prefix"):
        guard.check_address(coin, form)


@pytest.mark.parametrize(
    ("coin", "form"),
    [
        ("btc", guard.bech32_prefix("bc")),
        ("btc", guard.version_byte(0)),
        ("btc", guard.version_byte(5)),
        ("ltc", guard.bech32_prefix("ltc")),
        ("ltc", guard.version_byte(48)),
        ("ltc", guard.version_byte(50)),
        ("bch", guard.cashaddr_prefix("bitcoincash")),
        # The codes are told apart: a CashAddr prefix in bech32 is no test form.
        ("bch", guard.bech32_prefix("bchreg")),
    ],
)
def test_main_network_forms_are_refused_by_name(coin, form):
    with pytest.raises(NotATestNetwork) as refusal:
        guard.check_address(coin, form)
    assert form in str(refusal.value)
    assert all(allowed in str(refusal.value) for allowed in guard.ADDRESS_FORMS[coin])


@pytest.mark.parametrize(("byte", "kind"), [(24, "standard"), (25, "integrated"), (36, "subaddress")])
def test_monero_stagenet_forms_pass(byte, kind):
    assert guard.check_address("xmr", guard.network_byte(byte)) == kind


@pytest.mark.parametrize("byte", [18, 19, 42])
def test_monero_main_network_forms_are_refused(byte):
    with pytest.raises(NotATestNetwork, match=f"network byte {byte}"):
        guard.check_address("xmr", guard.network_byte(byte))


@pytest.mark.parametrize("byte", [53, 54, 63])
def test_monero_testnet_forms_are_bad_addresses(byte):
    with pytest.raises(BadAddress):
        guard.check_address("xmr", guard.network_byte(byte))


@pytest.mark.parametrize("invoice", ["lnbcrt20u1pvjluez", "LNBCRT1PVJLUEZ", "lnbcrt2500000m1qqq"])
def test_regtest_invoices_pass(invoice):
    guard.check_invoice(invoice)


@pytest.mark.parametrize(
    ("invoice", "prefix"),
    [
        ("lnbc20u1pvjluez", "lnbc"),
        ("LNBC1PVJLUEZ", "lnbc"),
        ("lntb20m1pvjluez", "lntb"),
        ("lntbs1pvjluez", "lntbs"),
        ("lnsb1pvjluez", "lnsb"),
        # The longest prefix counts: this is not "lnbc" with "rt" as anything else.
        ("lnbcrtx1pvjluez", "lnbcrtx"),
    ],
)
def test_other_invoices_are_refused_by_name(invoice, prefix):
    with pytest.raises(NotATestNetwork, match=f"prefix '{prefix}'"):
        guard.check_invoice(invoice)


@pytest.mark.parametrize("text", ["", "lnbcrt", "bcrt1qqqq", "lnBCRT1pvjluez", "lnbcrt1", "ln 1pvj", "lnbcrt\u00e91p"])
def test_what_looks_like_no_invoice_is_a_bad_invoice(text):
    with pytest.raises(BadInvoice):
        guard.check_invoice(text)


def test_no_attribute_of_the_module_can_be_set_or_deleted():
    for name in [*vars(guard), "ANYTHING"]:
        with pytest.raises(AttributeError, match="sealed"):
            setattr(guard, name, MappingProxyType({}))
        if hasattr(guard, name):
            with pytest.raises(AttributeError, match="sealed"):
                delattr(guard, name)
    with pytest.raises(RefusedNode):
        guard.check_node("btc", genesis=MAIN_GENESIS)


def test_no_list_can_be_changed_in_place():
    tables = [guard.NODES, guard.ADDRESS_FORMS, *guard.ADDRESS_FORMS.values()]
    tables += [row for rows in guard.NODES.values() for row in rows]
    for table in tables:
        assert type(table) is MappingProxyType
        with pytest.raises(TypeError):
            table["btc"] = "anything"
    assert all(type(rows) is tuple for rows in guard.NODES.values())
    assert type(guard._PUBLIC_TEST_FORMS) is frozenset


def test_there_is_no_class_to_subclass_but_the_seal():
    own = [value for value in vars(guard).values() if isinstance(value, type) and value.__module__ == guard.__name__]
    assert own == [type(guard)]


def test_no_environment_variable_widens_it():
    """Every variable that a program might look for, set before the module is first imported."""
    words = ("NETWORK", "CHAIN", "MAINNET", "ALLOW_MAINNET", "UNSAFE", "GENESIS", "CHAIN_ID", "NETTYPE", "DEBUG")
    environment = dict(os.environ)
    for word in words:
        for prefix in ("", "GLASSTUMBLER_", "GLASS_TUMBLER_", "BTC_"):
            environment[prefix + word] = "1"
    script = (
        "from glasstumbler.chains import guard\n"
        "from glasstumbler.errors import RefusedNode\n"
        "try: guard.check_node('eth', chain_id=1)\n"
        "except RefusedNode: print('refused', len(guard.NODES), sorted(guard.ADDRESS_FORMS))\n"
    )
    run = [
        subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True).stdout
        for env in (dict(os.environ), environment)
    ]
    assert run[0] == run[1] == "refused 6 ['bch', 'btc', 'ltc', 'xmr']\n"


def test_the_module_imports_nothing_that_could_bring_a_setting():
    tree = ast.parse(Path(guard.__file__).read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported == {"__future__", "re", "sys", "collections.abc", "types", "typing", "glasstumbler.errors"}
    of_sys = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_sys(node.value)}
    assert of_sys == {"modules"}


def _is_sys(node):
    return isinstance(node, ast.Name) and node.id == "sys"
