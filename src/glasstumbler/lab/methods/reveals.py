"""Customers of a mixer on a chain of accounts who give themselves away."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.flows import Flow, links, mixing, singly, together
from glasstumbler.lab.public import NONE, Graph, Ints, Public


class Reveals:
    name: ClassVar[str] = "account-reveals"
    task: ClassVar[str] = "T2"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="Wu and others, Tutela: An Open-Source Tool for Assessing User-Privacy on Ethereum and Tornado Cash"
        " (2022), arXiv 2201.06811: its reveals of one address and of a unique gas price.",
        rule="On a chain of accounts, a deposit and a later payout are linked if the account that deposited is the one"
        " that is paid, or if both accounts send at a gas price at which no other account does but the service.",
        knows="The chain and the service's addresses.",
        cost="Two joins over the chain's transactions.",
        fails="Finds careless customers only. Wallets that take the gas price from the network share it by the"
        " thousand. Other chains than those of accounts (btc, bch, ltc, xmr): it abstains.",
        rebuilt="A Tornado Cash customer signs the withdrawal, so the paper compares its gas price; a custodial service"
        " signs it itself, so here it is that of what the paid account sends. The observer's tables have the fee: for a"
        " plain transfer the price times 21,000. The paper's other reveals are about pools of one amount.",
    )

    def fit(self, public: Public, told: Told) -> None:
        self._told = told

    def predict(self, public: Public) -> pa.Table:
        every = mixing(public, self._told, self._told.asked)
        flows = (flow for flow in every if (public.graph(flow.coin).account != NONE).any())
        return together(self.task, [self._one(public.graph(flow.coin), flow) for flow in flows])

    def _one(self, graph: Graph, flow: Flow) -> pa.Table:
        payments = singly(graph, flow.payments)
        payer = graph.account[graph.first_input[graph.tx_of_output[flow.deposits.outputs]]]
        group = np.repeat(np.arange(len(flow.deposits)), flow.deposits.sizes)
        payee = graph.address[payments.outputs]
        signers = np.unique(graph.account[graph.first_input[graph.tx_of_output[payments.outputs]]])
        one, other = _alike(graph, signers)
        same = np.unique(payer)
        pairs = (
            pa.table({"account": np.concatenate([one, other, same]), "payee": np.concatenate([other, one, same])})
            .group_by(["account", "payee"])
            .aggregate([])
        )
        sent = pa.table({"account": payer, "deposit": group})
        paid = pa.table({"payee": payee, "payment": np.arange(len(payments))})
        found = sent.join(pairs, "account", join_type="inner").join(paid, "payee", join_type="inner")
        both = np.stack([found["deposit"].to_numpy(), found["payment"].to_numpy()])
        deposit, payment = np.unique(both[:, payments.time[both[1]] >= flow.deposits.time[both[0]]], axis=1)
        score = 1 / np.bincount(deposit, minlength=1)[deposit]
        return links(self.task, flow, deposit, payment, score, payments)


def _alike(graph: Graph, service: Ints) -> tuple[Ints, Ints]:
    """Pairs of accounts that alone send at some fee, beside the service's."""
    others = ~np.isin(graph.account, service)
    fee, account = np.unique(np.stack([graph.fee[graph.tx_of_input], graph.account])[:, others], axis=1)
    first = np.flatnonzero(np.concatenate([[True], fee[1:] != fee[:-1]])) if len(fee) else np.zeros(0, np.int64)
    two = first[np.diff(np.append(first, len(fee))) == 2]
    return account[two], account[two + 1]
