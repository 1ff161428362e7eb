"""The node software of the private test chains, as one table: how each is started, asked whether it is ready, stopped.

Whatever is started stands alone: it listens on 127.0.0.1 and nowhere else, accepts no peers from outside, dials none
and looks up no names. `apart` says for each by what. Each has a data folder of its own, and its files of settings, with
their passwords, are readable by their owner only; the home folder it sees is that data folder, so that no settings of
the user's are mixed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from glasstumbler.clock import GENESIS_TIME
from glasstumbler.nodes.endpoint import Endpoint

REGTEST_CHAIN_ID: Final = 31337
_OURS = Path(__file__).parent


class Setting(NamedTuple):
    """One node to be started."""

    program: Path
    folder: Path
    ports: Mapping[str, int]
    user: str
    password: str
    behind: Endpoint | None
    """The node that this one asks for blocks."""
    modules: Path
    """Where the npm packages are (bcash, bcoin)."""


def _nothing(_: Setting) -> dict[str, str]:
    return {}


class Software(NamedTuple):
    program: str
    """File name, looked for in the folder that `make nodes` fills, then on PATH."""
    package: str
    """Who brings it, for whoever has not got it."""
    ports: tuple[str, ...]
    """What it listens on: `rpc` is where it is asked."""
    command: Callable[[Setting], list[str]]
    """Arguments after the program."""
    endpoint: Callable[[Setting], Endpoint]
    question: str
    """Answered without an error once it is ready: a JSON-RPC method, or a path that LND answers."""
    apart: str
    """What keeps it from the network."""
    keeps: str
    """What a kill -9 leaves of its chain and mempool."""
    files: Callable[[Setting], Mapping[str, str]] = _nothing
    """Written into its folder before it starts: name -> text."""
    environment: Callable[[Setting], Mapping[str, str]] = _nothing
    module: str = ""
    """The npm package that `program` runs."""
    needs: str = ""
    """The software that must run before it, and that `Setting.behind` is."""
    start_seconds: float = 60
    stop_seconds: float = 20
    """After which it is killed."""


def _http(kind: str, path: str = "/") -> Callable[[Setting], Endpoint]:
    def endpoint(on: Setting) -> Endpoint:
        return Endpoint(kind, f"http://127.0.0.1:{on.ports['rpc']}{path}", on.user, on.password)

    return endpoint


# -- bitcoind and litecoind -------------------------------------------------------------------------------------------


_IDLE_SECONDS: Final = 10
"""After which it closes a connection that nobody uses. It does not stop before they are closed."""


def _core(kind: str, more: str = "") -> Software:
    def files(on: Setting) -> dict[str, str]:
        return {
            "node.conf": "regtest=1\nserver=1\nprinttoconsole=1\nnodebuglogfile=1\ndisablewallet=1\ntxindex=1\n"
            f"rpcuser={on.user}\nrpcpassword={on.password}\nrpcthreads=8\nrpcworkqueue=256\n"
            f"rpcservertimeout={_IDLE_SECONDS}\n{more}"
            "dnsseed=0\ndiscover=0\nlistenonion=0\n[regtest]\nlisten=0\nconnect=0\nacceptnonstdtxn=0\n"
            f"rpcbind=127.0.0.1\nrpcallowip=127.0.0.1\nrpcport={on.ports['rpc']}\n"
        }

    return Software(
        program=kind,
        package="Debian's litecoind (`make nodes`)"
        if kind == "litecoind"
        else "Bitcoin Core, which you bring yourself",
        ports=("rpc",),
        command=lambda on: [f"-datadir={on.folder}", f"-conf={on.folder / 'node.conf'}"],
        endpoint=_http(kind),
        question="getblockchaininfo",
        apart="listen=0, connect=0, dnsseed=0, discover=0; rpcbind=127.0.0.1",
        keeps="what it last flushed to the disk: often nothing since it started",
        files=files,
    )


# -- btcd and LND -----------------------------------------------------------------------------------------------------


def _btcd_files(on: Setting) -> dict[str, str]:
    return {
        "btcd.conf": "[Application Options]\nregtest=1\nnolisten=1\nnodnsseed=1\ntxindex=1\nrejectnonstd=1\n"
        f"datadir={on.folder / 'data'}\nlogdir={on.folder / 'logs'}\n"
        f"rpclisten=127.0.0.1:{on.ports['rpc']}\nrpcuser={on.user}\nrpcpass={on.password}\n"
        f"rpccert={on.folder / 'rpc.cert'}\nrpckey={on.folder / 'rpc.key'}\nrpcmaxclients=100\nrpcmaxwebsockets=50\n"
    }


def _btcd_endpoint(on: Setting) -> Endpoint:
    certificate = {"certificate": str(on.folder / "rpc.cert")}
    return Endpoint("btcd", f"https://127.0.0.1:{on.ports['rpc']}/", on.user, on.password, certificate)


def _lnd_files(on: Setting) -> dict[str, str]:
    assert on.behind is not None
    return {
        "lnd.conf": "[Application Options]\nnoseedbackup=true\nnobootstrap=true\nnat=false\ntlsdisableautofill=true\n"
        f"debuglevel=info\nlisten=127.0.0.1:{on.ports['peers']}\nrpclisten=127.0.0.1:{on.ports['grpc']}\n"
        f"restlisten=127.0.0.1:{on.ports['rpc']}\n"
        # It keeps how far a payment that failed had come, takes large channels, and waits for a btcd that is away. A
        # channel that failed is avoided for seconds, not for an hour: here it failed because a node was started again.
        "keep-failed-payment-attempts=true\nmaxpendingchannels=10\n[protocol]\nprotocol.wumbo-channels=true\n"
        "[healthcheck]\nhealthcheck.chainbackend.attempts=0\n[Bitcoin]\nbitcoin.regtest=true\nbitcoin.node=btcd\n"
        f"[routerrpc]\nrouterrpc.apriori.penaltyhalflife=10s\n[Btcd]\nbtcd.rpchost={urlsplit(on.behind.url).netloc}\nbtcd.rpcuser={on.behind.user}\nbtcd.rpcpass={on.behind.password}\n"
        f"btcd.rpccert={on.behind.extra['certificate']}\n"
    }


def _lnd_endpoint(on: Setting) -> Endpoint:
    macaroon = on.folder / "data" / "chain" / "bitcoin" / "regtest" / "admin.macaroon"
    files = {"certificate": str(on.folder / "tls.cert"), "macaroon": str(macaroon)}
    peers = {"peers": f"127.0.0.1:{on.ports['peers']}"}
    return Endpoint("lnd", f"https://127.0.0.1:{on.ports['rpc']}", extra=files | peers)


# -- bcash and bcoin --------------------------------------------------------------------------------------------------


def _bnode(kind: str) -> Software:
    def command(on: Setting) -> list[str]:
        where = ["--http-host=127.0.0.1", f"--http-port={on.ports['rpc']}", f"--prefix={on.folder}"]
        what = ["--network=regtest", "--memory=true", "--no-wallet=true", "--index-tx=true", "--log-level=info"]
        return [str(_OURS / "bnode.js"), kind, *what, *where]

    return Software(
        program="node",
        module=kind,
        package=f"npm's {kind}, run by node (`make nodes`)",
        ports=("rpc",),
        command=command,
        endpoint=_http(kind),
        question="getblockchaininfo",
        apart="bnode.js opens the node and never connects it",
        keeps="nothing: its chain is in memory",
        environment=lambda on: {f"{kind.upper()}_API_KEY": on.password, "NODE_PATH": str(on.modules)},
    )


# -- the others -------------------------------------------------------------------------------------------------------


def _anvil_command(on: Setting) -> list[str]:
    """The same first block each time, and transactions in the order of their arrival: a chain that a kill took is made
    again from our log, with the same hashes. Its own accounts, whose keys everybody knows, are left out."""
    where = ["--host", "127.0.0.1", "--port", str(on.ports["rpc"]), "--cache-path", str(on.folder)]
    first = ["--chain-id", str(REGTEST_CHAIN_ID), "--timestamp", str(GENESIS_TIME), "--gas-limit", "120000000"]
    return [*where, *first, "--accounts", "0", "--no-mining", "--order", "fifo", "--quiet"]


def _monerod_command(on: Setting) -> list[str]:
    rpc = ["--rpc-bind-ip", "127.0.0.1", "--rpc-bind-port", str(on.ports["rpc"])]
    peers = ["--p2p-bind-ip", "127.0.0.1", "--p2p-bind-port", str(on.ports["peers"])]
    alone = ["--offline", "--no-igd", "--disable-dns-checkpoints", "--check-updates", "disabled", "--no-zmq"]
    where = ["--data-dir", str(on.folder), "--log-file", str(on.folder / "monerod.log"), "--non-interactive"]
    return ["--regtest", "--keep-fakechain", "--fixed-difficulty", "1", *rpc, *peers, *alone, *where]


def _wallet_command(on: Setting) -> list[str]:
    assert on.behind is not None
    rpc = ["--rpc-bind-ip", "127.0.0.1", "--rpc-bind-port", str(on.ports["rpc"]), "--disable-rpc-login"]
    where = ["--wallet-dir", str(on.folder), "--shared-ringdb-dir", str(on.folder / "ringdb")]
    log = ["--log-file", str(on.folder / "wallet.log"), "--non-interactive"]
    return [*rpc, *where, *log, "--daemon-address", urlsplit(on.behind.url).netloc, "--trusted-daemon", "--no-dns"]


def _open(kind: str, path: str = "/") -> Callable[[Setting], Endpoint]:
    """A node that asks for no password."""
    return lambda on: Endpoint(kind, f"http://127.0.0.1:{on.ports['rpc']}{path}")


SOFTWARE: Final[Mapping[str, Software]] = MappingProxyType(
    {
        "bitcoind": _core("bitcoind"),
        # Its extension blocks would stop the miner at height 431: they want a peg-in of every block.
        "litecoind": _core("litecoind", "vbparams=mweb:4000000000:4100000000\n"),
        "btcd": Software(
            program="btcd",
            package="the Go module btcd (`make nodes`)",
            ports=("rpc",),
            command=lambda on: [f"--configfile={on.folder / 'btcd.conf'}"],
            endpoint=_btcd_endpoint,
            question="getblockchaininfo",
            apart="nolisten, nodnsseed; regtest knows no peers of its own; rpclisten=127.0.0.1",
            keeps="blocks up to its last flush; no mempool",
            files=_btcd_files,
        ),
        "bcash": _bnode("bcash"),
        "bcoin": _bnode("bcoin"),
        "anvil": Software(
            program="anvil",
            package="npm's @foundry-rs/anvil (`make nodes`)",
            ports=("rpc",),
            command=_anvil_command,
            endpoint=_open("anvil"),
            question="eth_chainId",
            apart="it has no peers; --host 127.0.0.1",
            keeps="nothing: its chain is in memory, and made again from our log",
        ),
        "monerod": Software(
            program="monerod",
            package="Debian's monero (`make nodes`)",
            ports=("rpc", "peers"),
            command=_monerod_command,
            endpoint=_open("monerod", "/json_rpc"),
            question="get_info",
            apart="--offline, --no-igd, no name looked up; it binds to 127.0.0.1",
            keeps="its blocks",
        ),
        "monero-wallet-rpc": Software(
            program="monero-wallet-rpc",
            package="Debian's monero (`make nodes`)",
            ports=("rpc",),
            command=_wallet_command,
            endpoint=_open("monero-wallet-rpc", "/json_rpc"),
            question="get_version",
            apart="it asks our monerod only; --no-dns",
            keeps="its wallets as last stored; the rest is found again in the blocks",
            needs="monerod",
        ),
        "lnd": Software(
            program="lnd",
            package="the Go module lnd (`make nodes`)",
            ports=("rpc", "grpc", "peers"),
            command=lambda on: [f"--lnddir={on.folder}"],
            endpoint=_lnd_endpoint,
            question="/v1/state",
            apart="nobootstrap, no tor; it listens on 127.0.0.1 and dials whom it is told to",
            keeps="its channels and payments",
            files=_lnd_files,
            needs="btcd",
            start_seconds=120,
            stop_seconds=30,
        ),
    }
)
