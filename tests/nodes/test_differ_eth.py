"""A few hundred transactions of tests/nodes/differ_eth.py; the long run is a command."""

import pytest

from glasstumbler.chains import eth, eth_format
from tests.nodes.differ_eth import LISTED, Difference, compare


@pytest.mark.parametrize("seed", [11, 12])
def test_the_chain_in_this_process_says_and_does_what_anvil_does(seed: int) -> None:
    seen = compare(250, seed)
    said = {ours for _, ours, _ in seen}
    assert {"taken", "nonce", "funds", "fee-too-low", "malformed", "bad-signature", "other", "conflict"} <= said
    differences = {(ours, theirs) for _, ours, theirs in seen if ours != theirs and theirs != "dropped"}
    assert differences <= {(row.ours, row.theirs) for row in LISTED}
    assert sum(number for (_, ours, theirs), number in seen.items() if ours == theirs == "taken") > 70


def test_a_fault_of_ours_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eth, "next_base_fee", lambda *figures: eth_format.next_base_fee(*figures) + 1)
    with pytest.raises(Difference, match="base fee is"):
        compare(100, 11)


def test_a_verdict_of_ours_that_nobody_listed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eth, "_check_form", lambda transfer: None)
    with pytest.raises(Difference, match="we say 'taken', anvil says"):
        compare(250, 11)
