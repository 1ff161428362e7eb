"""The shape of the Elliptic data set (Weber et al. 2019), as PyTorch Geometric's EllipticBitcoinDataset reads it, and
of the address files of Elliptic++; a folder for each chain of outputs.

    COIN/raw/elliptic_txs_features.csv    without a header: transaction, time step, FEATURES as standard scores
    COIN/raw/elliptic_txs_edgelist.csv    txId1,txId2: the second spends outputs of the first
    COIN/raw/elliptic_txs_classes.csv     txId,class: 1, 2 or unknown
    COIN/features.csv                     what the features are, with mean and deviation
    COIN/actors/*.csv                     the files of Elliptic++

Features are of the observer's part, classes of the answer key.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from glasstumbler.errors import DatasetError
from glasstumbler.lab.exports.elliptic_actors import COLUMNS, Actors, Links, meetings
from glasstumbler.lab.exports.elliptic_features import AT_ONCE, FEATURES, LOCAL, Features
from glasstumbler.lab.methods.chains import spending
from glasstumbler.lab.public import NONE, Flags, Graph, Ints
from glasstumbler.lab.tasks import Dataset

STEPS: Final = 49
"""Time steps of the published data; its readers train on 1 to 34 and test on the others."""
SERVICE, OTHER, UNKNOWN = range(1, 4)
"""Classes. 1, published as illicit: a service of the laboratory signed the transaction, or owns the address. 2,
published as licit: somebody else whom the answer key names. 3: nobody in the key."""
_MEETINGS: Final = 200_000


def write(dataset: Dataset, out: Path) -> None:
    """DatasetError if no chain shows what its transactions spend."""
    for graph in spending(dataset.public):
        folder = out / graph.coin
        (folder / "raw").mkdir(parents=True)
        (folder / "actors").mkdir()
        steps = time_steps(graph, dataset.manifest.get("begin"))
        _transactions(graph, steps, folder)
        _actors(Actors(graph, steps), graph, folder / "actors")
        _classes(dataset, graph, folder)
    if not any(out.iterdir()):
        raise DatasetError(f"{dataset.folder} has no chain of btc, bch or ltc on which anything was spent")


def time_steps(graph: Graph, begin: int | None) -> Ints:
    """Of each transaction, from 1 to STEPS: equal parts of the time from `begin` (None: the first block after the
    genesis block) to the last transaction. What was before is in step 1."""
    if begin is None:
        begin = int(graph.time[graph.height > 0].min(initial=graph.time.max()))
    span = max(int(graph.time.max()) - begin + 1, 1)
    found: Ints = np.clip((graph.time - begin) * STEPS // span, 0, STEPS - 1) + 1
    return found


def _transactions(graph: Graph, steps: Ints, folder: Path) -> None:
    features = Features(graph)
    edges = {"txId1": features.edges[:, 0], "txId2": features.edges[:, 1]}
    pl.DataFrame(edges).write_csv(folder / "raw" / "elliptic_txs_edgelist.csv")
    mean, deviation = features.scale()
    with (folder / "raw" / "elliptic_txs_features.csv").open("wb") as file:
        for first in range(0, graph.txs, AT_ONCE):
            last = min(first + AT_ONCE, graph.txs)
            scores = ((features.rows(first, last) - mean) / deviation).astype(np.float32)
            part = {"txId": np.arange(first, last), "step": steps[first:last]}
            columns = pl.DataFrame(scores, schema=[feature.name for feature in FEATURES])
            pl.DataFrame(part).hstack(columns).write_csv(file, include_header=False)
    about = {
        "column": range(2, 2 + len(FEATURES)),
        "name": [feature.name for feature in FEATURES],
        "unit": [feature.unit for feature in FEATURES],
        "of": ["transaction" if number < LOCAL else "neighbours" for number in range(len(FEATURES))],
        "mean": mean,
        "deviation": deviation,
    }
    pl.DataFrame(about).write_csv(folder / "features.csv")


def _actors(actors: Actors, graph: Graph, folder: Path) -> None:
    names = pl.Series(graph.names)
    with (folder / "wallets_features.csv").open("wb") as file:
        file.write(f"{','.join(COLUMNS)}\n".encode())
        for addresses, steps, figures in actors.rows():
            part = pl.DataFrame({"address": names.gather(addresses), "step": steps})
            part.hstack(pl.DataFrame(figures, schema=list(COLUMNS[2:]))).write_csv(file, include_header=False)
    senders = {"input_address": names.gather(actors.senders.address), "txId": actors.senders.tx}
    pl.DataFrame(senders).write_csv(folder / "AddrTx_edgelist.csv")
    receivers = {"txId": actors.receivers.tx, "output_address": names.gather(actors.receivers.address)}
    pl.DataFrame(receivers).write_csv(folder / "TxAddr_edgelist.csv")
    with (folder / "AddrAddr_edgelist.csv").open("wb") as file:
        file.write(b"input_address,output_address\n")
        for one, other in _parts(actors.senders, actors.receivers, graph.txs):
            part = pl.DataFrame({"input_address": names.gather(one), "output_address": names.gather(other)})
            part.write_csv(file, include_header=False)


def _parts(senders: Links, receivers: Links, txs: int) -> Iterable[tuple[Ints, Ints]]:
    for first in range(0, txs, _MEETINGS):
        yield meetings(senders, receivers, first, min(first + _MEETINGS, txs))


def _classes(dataset: Dataset, graph: Graph, folder: Path) -> None:
    services, others = _addresses(dataset.wallets, graph), _addresses(dataset.more("answers/owner"), graph)
    made = dataset.answers("hop").filter(pl.col("coin") == graph.coin, pl.col("tx").is_not_null())["tx"].unique()
    txs = np.full(graph.txs, UNKNOWN, np.int8)
    txs[_all(others, graph)] = OTHER
    txs[made.to_numpy()] = SERVICE
    named = {SERVICE: "1", OTHER: "2", UNKNOWN: "unknown"}
    text = pl.Series(txs).replace_strict(named, return_dtype=pl.String)
    pl.DataFrame({"txId": np.arange(graph.txs), "class": text}).write_csv(folder / "raw" / "elliptic_txs_classes.csv")
    addresses = np.where(services, SERVICE, np.where(others, OTHER, UNKNOWN))
    known = {"address": pl.Series(graph.names), "class": addresses}
    pl.DataFrame(known).write_csv(folder / "actors" / "wallets_classes.csv")


def _addresses(rows: pl.DataFrame, graph: Graph) -> Flags:
    """Which addresses stand in the rows."""
    found = np.zeros(graph.addresses, np.bool_)
    found[rows.filter(pl.col("coin") == graph.coin)["address"].to_numpy()] = True
    return found


def _all(named: Flags, graph: Graph) -> Flags:
    """Which transactions spend, and only from such addresses."""
    known = (graph.input_address != NONE) & np.append(named, False)[graph.input_address]
    counts = np.bincount(graph.tx_of_input[known], minlength=graph.txs)
    inputs: npt.NDArray[np.int64] = np.diff(graph.first_input)
    found: Flags = (inputs > 0) & (counts == inputs)
    return found
