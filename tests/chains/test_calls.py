"""What one process asks of the chains that another one holds."""

import pytest

from glasstumbler.chains.calls import answered, call_of, refuse
from glasstumbler.errors import (
    BadAmount,
    GlassTumblerError,
    InvoiceUsed,
    NodeAnswer,
    NodeAway,
    PaymentWaits,
    RefusedNode,
    TransactionRefused,
)


@pytest.mark.parametrize(
    "error",
    [
        BadAmount("too much", "amount", "xmr"),
        InvoiceUsed("paid", "ln_invoice"),
        NodeAnswer("btcd", "getblock", -5, "no such block"),
        NodeAway("lnd", "nobody listens there"),
        PaymentWaits("on its way"),
        RefusedNode("btc node", "another genesis", "ours"),
        TransactionRefused("dust", "too little"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_on_the_other_side(error: GlassTumblerError) -> None:
    with pytest.raises(type(error)) as caught:
        answered(call_of("btc", "tip"), refuse(error))
    assert type(caught.value) is type(error)
    assert (str(caught.value), vars(caught.value)) == (str(error), vars(error))
