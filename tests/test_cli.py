"""The command line as a user meets it: one clear line for every mistake, and a folder that survives anything."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.engine import letter
from glasstumbler.vault import Vault
from tests.web.server import COMMAND, ONE_CHAIN, Lab, environment, laboratory, run

Command = Callable[..., tuple[int, str, str]]
"""Arguments -> (exit code, standard output, standard error)."""
HOUR = 3600
ENVIRONMENT = "GLASSTUMBLER__BTCMIX__FEE_PPM"
SERVE = ("serve", "--port", "0", "--block-interval", "0")


def refused(*arguments: str | Path, code: int = 1, stdin: bytes = b"", by: Command | None = None) -> str:
    """The one line on standard error of a command that fails."""
    got, out, err = by(*arguments) if by is not None else run(*arguments, stdin=stdin)
    assert (got, out) == (code, ""), (got, out, err)
    assert err.startswith("glasstumbler: ") and err.count("\n") == 1, err
    return err.removeprefix("glasstumbler: ").strip()


# -- help and wrong commands ------------------------------------------------------------------------------------------


def test_help_names_every_command(here: Command) -> None:
    code, out, err = here("--help")
    assert (code, err) == (0, "")
    for command in ("serve", "demo", "keys", "audit", "verify-letter"):
        assert f"│ {command} " in out, out
    assert here() == (0, out, "")
    for command in ("serve", "demo", "keys", "keys add", "keys list", "keys block", "audit", "verify-letter"):
        code, out, _ = here(*command.split(), "--help")
        assert code == 0 and f"Usage: glasstumbler {command}" in out


def test_version() -> None:
    code, out, _ = run("--version")
    assert code == 0 and out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing"),
        (["serve", "--nonsense"], "--nonsense"),
        (["serve", "--port", "many"], "--port"),
        (["keys", "add"], "SERVICE"),
        (["keys", "block", "btcmix"], "KEY"),
        (["verify-letter"], "FILE"),
    ],
)
def test_wrong_commands(here: Command, arguments: list[str], said: str) -> None:
    assert said in refused(*arguments, code=2, by=here)


# -- folders ----------------------------------------------------------------------------------------------------------


def test_data_that_is_a_file(here: Command, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for command in (SERVE, ("keys", "add", "btcmix"), ("keys", "list"), ("audit",)):
        assert refused(*command, "--data", file, by=here) == f"{file} is a file, not a folder"
    inside = refused(*SERVE, "--data", file / "inside", by=here)
    assert str(file) in inside and "Not a directory" in inside


def test_folder_that_is_none_of_ours_is_not_made(here: Command, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    for command in (("keys", "list"), ("keys", "block", "btcmix", "x"), ("audit",)):
        assert str(absent) in refused(*command, "--data", absent, by=here)
    assert not absent.exists()


def test_damaged_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    (tmp_path / "secret").chmod(0o600)
    assert "damaged" in refused(*SERVE, "--data", tmp_path)


def test_damaged_record(here: Command, tmp_path: Path) -> None:
    Vault.of_folder(tmp_path)
    (tmp_path / "record.db").write_bytes(b"no database" * 1000)
    assert "record.db" in refused("keys", "list", "--data", tmp_path, by=here)
    assert "record.db" in refused(*SERVE, "--data", tmp_path, by=here)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    assert "Permission denied" in refused(*SERVE, "--data", folder)


def test_folder_on_a_read_only_disk() -> None:
    """/proc takes no files, whoever asks."""
    assert "/proc/glasstumbler" in refused(*SERVE, "--data", Path("/proc/glasstumbler"))


# -- settings ---------------------------------------------------------------------------------------------------------

CONTRADICTIONS = [
    ("[btcmix]\nfee = 3", "[btcmix] has no setting 'fee'"),
    ("[nobody]\nx = 1", "no service is called 'nobody'"),
    ("btcmix = 3", "[btcmix] is a table of settings"),
    ("[btcmix]\nfee_ppm = -1", "[btcmix] fee_ppm: "),
    ("[btcmix]\nfee_ppm = 1000000", "[btcmix] fee_ppm: "),
    ('[btcmix]\nfee_ppm = "2 %"', "[btcmix] fee_ppm: "),
    ("[btcmix]\nfee_ppm = 2.5", "[btcmix] fee_ppm: "),
    ("[whir]\nexpiry = 0", "[whir] expiry: "),
    ("[whir]\nmax_outputs = 0", "[whir] max_outputs: "),
    ('[whir]\ngrouping = "pairs"', "[whir] grouping: "),
    ("[whir.coins.btc]\nmin_payout = -5", "[whir.coins.btc] min_payout: "),
    ("[whir.coins.btc]\nmin_payout = 6000000000", "min_payout (6000000000) is above max_payout (5000000000)"),
    ("[whir.coins.btc]\nmin_deposit = 3\nmax_deposit = 2", "min_deposit (3) is above max_deposit (2)"),
    ('[whir.coins.btc]\ndeposit_kind = "p2pk"', "[whir.coins.btc] deposit_kind: btc has the types p2wpkh"),
    ("[whir.coins.doge]\nmin_payout = 1", "[whir.coins] has no setting 'doge'"),
    ("[bestmixer.coins.eth]\nmin_fee_ppm = 60000", "min_fee_ppm (60000) is above max_fee_ppm (50000)"),
    ("[xmrto.swap]\nlower = 3000000000", "lower (3000000000) is above upper (2000000000)"),
    ("[xmrto.swap]\nbase_rate = 0", "[xmrto.swap] base_rate: "),
    ("[xmrto.swap]\ntiers = []", "[xmrto.swap]: the last of the tiers"),
    ("[coinjoin.api]\nlimit_default = 2000", "limit_default (2000) is above limit_max (1000)"),
    ("[coinjoin.api]\nnonsense = 1", "[coinjoin.api] has no setting 'nonsense'"),
    ('[lab]\nrate_limits = "on"', "[lab] rate_limits: "),
    ('[lab]\nchains = ["btc", "doge"]', "[lab] chains"),
    ("[btcmix", "is not TOML"),
]


@pytest.mark.parametrize(("text", "said"), CONTRADICTIONS, ids=lambda value: value.replace("\n", " ")[:44])
def test_settings_that_cannot_be(here: Command, text: str, said: str, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    assert said in refused(*SERVE, "--data", tmp_path / "data", "--config", config, by=here)


def test_settings_from_the_environment_and_the_folder(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, "-1")
    assert "[btcmix] fee_ppm: " in refused(*SERVE, "--data", tmp_path, by=here)
    monkeypatch.delenv(ENVIRONMENT)
    (tmp_path / "glasstumbler.toml").write_text("[whir]\nfee_ppm = -2")
    assert "[whir] fee_ppm: " in refused(*SERVE, "--data", tmp_path, by=here)
    absent = tmp_path / "absent.toml"
    assert refused(*SERVE, "--data", tmp_path, "--config", absent, by=here) == (
        f"cannot read the settings {absent}: No such file or directory"
    )
    assert "sqlite:///PATH" in refused(*SERVE, "--data", tmp_path / "new", "--store", "mysql://x", by=here)
    assert not (tmp_path / "new").exists()


def test_settings_are_used(tmp_path: Path) -> None:
    (config := tmp_path / "settings.toml").write_text("[whir]\nfee_ppm = 50_000\n[whir.coins.btc]\nper_output = 0\n")
    with laboratory(tmp_path / "data", "--config", str(config), extra=ONE_CHAIN) as lab, lab.client("whir") as client:
        order = client.post("/api/createTransaction", json={"delay": 0, "payouts": {lab.address(): "1"}}).json()
    assert (order["fee"], order["depositAmount"]) == (0.05, 1.05)


# -- serving ----------------------------------------------------------------------------------------------------------


def test_used_port_used_folder_and_bad_addresses(tmp_path: Path) -> None:
    with laboratory(tmp_path / "one", extra=ONE_CHAIN) as lab:
        assert refused(*SERVE, "--data", lab.folder) == f"another `glasstumbler serve` runs on {lab.folder}"
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            said = refused("serve", "--port", str(port), "--data", tmp_path / "two")  # whole, as a user has it
            assert said == f"cannot listen on 127.0.0.1:{port}: Address already in use"
        assert lab.hub.get("/").status_code == 200  # undisturbed


def test_ports_that_cannot_be(here: Command, tmp_path: Path) -> None:
    for arguments, words in (
        (["--port", "65531"], "--port goes from 0 to 65530"),
        (["--port=-1"], "--port goes from 0 to 65530"),
        (["--block-interval=-1"], "--block-interval"),
        (["--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1:0"),
    ):
        assert words in refused("serve", "--data", tmp_path / "two", *arguments, by=here)


def test_announcement_names_everything(tmp_path: Path) -> None:
    arguments = [*COMMAND, *SERVE, "--data", str(tmp_path / "data")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(20) == 0
    assert "TEST NETWORKS ONLY" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["hub", "bestmixer", "btcmix", "coinjoin", "whir", "xmrto", "lab"]
    assert rest == f"stopped; {tmp_path / 'data'} keeps everything\n"
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600


def create(lab: Lab, delay: int) -> dict[str, Any]:
    with lab.client("btcmix") as client:
        body = {"delay": delay, "payouts": {lab.address(): "0.02", lab.address(): "0.03"}}
        order = client.post("/api/createTransaction", json=body).json()
    return dict(order)


def detail(lab: Lab, order: dict[str, Any]) -> dict[str, Any]:
    with lab.client("btcmix") as client:
        return dict(client.get(f"/api/transaction/{order['id']}").json())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_order_in_the_middle_of_its_delay_completes_after_a_restart(number: signal.Signals, tmp_path: Path) -> None:
    with laboratory(tmp_path / "data", extra=ONE_CHAIN) as lab:
        order = create(lab, delay=2)
        lab.pay("btc", order["depositAddress"], order["depositAmount"])
        lab.lab("clock/advance", seconds=HOUR)
        before, keys, token = detail(lab, order), lab.keys, lab.token
        assert before["status"] == "confirming"
        unpaid = create(lab, delay=0)
        lab.pay("btc", unpaid["depositAddress"], unpaid["depositAmount"], blocks=0)  # waits in the mempool
        code = lab.stop(number)
        assert code == (-9 if number is signal.SIGKILL else 0)
    assert lab.errors.read_text() == ""
    with laboratory(tmp_path / "data", extra=ONE_CHAIN) as lab:
        assert (lab.keys, lab.token) == (keys, token)
        assert detail(lab, order) == before
        assert detail(lab, unpaid)["status"] == "confirming"
        lab.lab("clock/advance", seconds=HOUR)  # the lab's clock has kept its offset: the other hour is enough
        assert detail(lab, order)["status"] == "processing"
        lab.lab("chains/btc/mine", blocks=2)
        assert detail(lab, order)["status"] == detail(lab, unpaid)["status"] == "complete"
    code, out, err = run("audit", "--data", tmp_path / "data")
    assert code == 0, out + err


# -- keys -------------------------------------------------------------------------------------------------------------


def test_keys_are_made_listed_and_blocked_without_a_server(here: Command, tmp_path: Path) -> None:
    code, out, err = here("keys", "add", "coinjoin", "--data", tmp_path / "data")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert made["service"] == "coinjoin" and len(made["api_key"]) == 32 and len(made["secret_key"]) == 40
    assert json.loads(here("keys", "add", "bestmixer", "--data", tmp_path / "data")[1])["api_key"].isalnum()
    code, out, _ = here("keys", "list", "coinjoin", "--data", tmp_path / "data")
    assert json.loads(out) == [{"service": "coinjoin", "id": made["id"], "blocked": False}]
    assert made["api_key"] not in out
    code, out, _ = here("keys", "block", "coinjoin", made["api_key"], "--data", tmp_path / "data")
    assert code == 0 and json.loads(out)["blocked"] is True
    assert {row["blocked"] for row in json.loads(here("keys", "list", "--data", tmp_path / "data")[1])} == {True, False}
    assert (
        refused("keys", "block", "coinjoin", "nobody", "--data", tmp_path / "data", by=here)
        == "coinjoin has no such key; `glasstumbler keys list coinjoin` prints the ids of those it has"
    )
    assert refused("keys", "block", "whir", made["id"], "--data", tmp_path / "data", by=here).startswith(
        "whir has no such key; "
    )
    for service in ("nobody", "xmrto", ""):
        assert "these" in refused("keys", "add", service, "--data", tmp_path / "data", by=here)


# -- letters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarantee(tmp_path: Path) -> bytes:
    """Signed by the folder's key."""
    return letter.sign(
        f"{letter.HEADER}\nOrder: UQHUQPH1VT\nCoin: btc\n", Vault.of_folder(tmp_path).letter_key
    ).encode()


def test_letters(here: Command, guarantee: bytes, tmp_path: Path) -> None:
    assert "TEST NETWORK" in guarantee.decode()
    for raw in (guarantee, b64encode(guarantee), b64encode(guarantee) + b"\n"):
        (file := tmp_path / "letter").write_bytes(raw)
        code, out, err = here("verify-letter", file)
        assert (code, err) == (0, "") and "Order: UQHUQPH1VT" in out and out.endswith("the signature holds\n")
        code, out, _ = here("verify-letter", file, "--data", tmp_path)
        assert code == 0 and out.endswith(f"the signature holds, and the key is that of {tmp_path}\n")
    assert run("verify-letter", "-", stdin=b64encode(guarantee))[0] == 0


def test_letters_that_do_not_hold(here: Command, guarantee: bytes, tmp_path: Path) -> None:
    for raw in (guarantee.replace(b"UQHUQPH1VT", b"UQHUQPH1VX"), guarantee[:-30], b"", b"hello", b"\xff" * 99):
        (file := tmp_path / "letter").write_bytes(raw)
        assert refused("verify-letter", file, by=here)
    assert refused("verify-letter", "-", stdin=b"hello")
    file.write_bytes(guarantee)
    Vault.of_folder(other := tmp_path / "other")
    assert "key" in refused("verify-letter", file, "--data", other, by=here)
    absent = tmp_path / "absent"
    assert refused("verify-letter", absent, by=here) == f"cannot read {absent}: No such file or directory"
