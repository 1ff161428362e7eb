"""`--json` of every command: one document or a line for each thing, nothing else, and the same exit codes. And the
completion of bash, fish and zsh, which these shells themselves run."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from glasstumbler.cli import app
from glasstumbler.engine import letter
from glasstumbler.sealed import VARIABLE
from glasstumbler.terminal import say_json
from glasstumbler.vault import Vault
from tests.test_cli import Command, refused
from tests.web.server import COMMAND, ONE_CHAIN, environment

NO_JSON = {"completion"}
"""Prints a program of the shell's."""


def commands(of: App, *before: str) -> list[tuple[str, App]]:
    found: list[tuple[str, App]] = []
    for name in of:
        if not name.startswith("-"):
            inner = commands(of[name], *before, name)
            found += inner or [(" ".join((*before, name)), of[name])]
    return found


@pytest.mark.parametrize("name", [name for name, _ in commands(app)])
def test_every_command_speaks_json(name: str) -> None:
    command = dict(commands(app))[name].default_command
    assert command is not None
    assert ("as_json" in inspect.signature(command).parameters) == (name not in NO_JSON)


@pytest.fixture
def folder(here: Command, tmp_path: Path) -> Path:
    here("keys", "add", "whir", "--data", tmp_path / "data")
    return tmp_path / "data"


def document(answer: tuple[int, str, str], code: int = 0) -> Any:
    """The one document on standard output of a command that says nothing else."""
    got, out, err = answer
    assert (got, err, out.count("\n")) == (code, "", 1), (got, out, err)
    return json.loads(out)


def test_keeping_a_folder(here: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ("--data", folder)
    whole = document(here("audit", *data, "--json"))
    assert whole["clean"] and whole["differences"] == [] and whole["entries"] == 2
    assert document(here("audit", *data, "--head", whole["head"], "--json"))["head"] == whole["head"]
    other = whole["head"][:-1] + ("0" if whole["head"][-1] != "0" else "1")
    wrong = document(here("audit", *data, "--head", other, "--json"), code=1)
    assert not wrong["clean"] and wrong["differences"][0]["entry"] == 2
    assert document(here("status", *data, "--json"), code=3)["running"] is False
    kept = document(here("backup", *data, "--out", tmp_path / "copy", "--json"))
    assert kept["backup"] == str(tmp_path / "copy") and kept["audit"]["head"] == whole["head"]
    again = document(here("restore", tmp_path / "copy", "--data", tmp_path / "again", "--json"))
    assert again["data"] == str(tmp_path / "again") and again["audit"]["clean"]
    monkeypatch.setenv(VARIABLE, "a key of some length")
    assert document(here("seal", *data, "--json")) == {"data": str(folder), "sealed": True}
    assert document(here("unseal", *data, "--json")) == {"data": str(folder), "sealed": False}


def test_keys(here: Command, folder: Path) -> None:
    data = ("--data", folder)
    made = document(here("keys", "add", "btcmix", *data, "--json"))
    assert document(here("keys", "list", "btcmix", *data, "--json"))[0]["id"] == made["id"]
    assert document(here("keys", "block", "btcmix", made["id"], *data, "--json"))["blocked"] is True


def test_letters(here: Command, folder: Path, tmp_path: Path) -> None:
    text = letter.sign(f"{letter.HEADER}\nOrder: UQHUQPH1VT\n", Vault.of_folder(folder).letter_key)
    (file := tmp_path / "letter").write_text(text)
    told = document(here("verify-letter", file, "--data", folder, "--json"))
    assert told == {"signature": "holds", "key_of": str(folder), "letter": {"Order": "UQHUQPH1VT"}}
    file.write_text(text.replace("UQ", "XX"))
    assert "does not hold" in refused("verify-letter", file, "--json", by=here)


def test_torture(here: Command) -> None:
    told = document(here("torture", "--seed", "3", "--steps", "2", "--json"))
    assert told == {"seed": 3, "steps": 2, "held": True, "failure": None}


def test_serving(tmp_path: Path) -> None:
    """A line when it serves, a line when it has stopped."""
    command = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--port", "0", "--block-interval", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(ONE_CHAIN)) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.terminate()
        rest = process.stdout.read()
        assert process.wait(20) == 0
    assert told["event"] == "serving" and told["hub"].startswith("http://127.0.0.1:")
    assert list(told["services"]) == ["bestmixer", "btcmix", "coinjoin", "whir", "xmrto"]
    assert told["services"]["whir"]["api_key"] and "api_key" not in told["services"]["xmrto"]
    assert json.loads(rest) == {"event": "stopped", "data": str(tmp_path / "data")}


def test_what_is_not_printable_is_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"text": "\x1b[2J \x7f \x9b \u202e é"}
    say_json(said)
    out = capsys.readouterr().out
    assert out.isascii() and out.rstrip("\n").isprintable()
    assert json.loads(out) == said


# -- completion -------------------------------------------------------------------------------------------------------

PRESS_TAB = """
source "$1"; shift
COMP_WORDS=(glasstumbler "$@"); COMP_CWORD=$#; COMP_LINE="glasstumbler $*"; COMP_POINT=${#COMP_LINE}
_glasstumbler glasstumbler "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""What bash does at TAB, after the words given; the last one may be empty."""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("completion") / "glasstumbler.bash"
    done = subprocess.run(
        [*COMMAND, "completion", "bash"], capture_output=True, text=True, check=True, env=environment()
    )
    made.write_text(done.stdout)
    return made


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["or"], ["order", "orders"]),
        (["keys", ""], ["add", "block", "list"]),
        (["keys", "add", ""], ["bestmixer", "btcmix", "coinjoin", "whir"]),
        (["orders", "--service", "b"], ["bestmixer", "btcmix"]),
        (["orders", "--state", "co"], ["completed", "confirming"]),
        (["order", "x"], ["xmrto"]),
        (["serve", "--nodes", ""], ["in-process", "real"]),
        (["links", "--js"], ["--json"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["nothing", "like", "it"], []),
    ],
)
def test_bash_completes(script: Path, words: list[str], offered: list[str]) -> None:
    done = subprocess.run(["bash", "-c", PRESS_TAB, "bash", str(script), *words], capture_output=True, text=True)
    assert (done.stderr, sorted(done.stdout.split())) == ("", offered)


FISH = """
glasstumbler completion fish | source
complete -C "glasstumbler order best"
complete -C "glasstumbler orders --state co"
"""
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit; compinit -u -D; eval "$(glasstumbler completion zsh)"; print READY$((1 + 1))'
zpty -r shell said '*READY2*'
zpty -n -w shell $'glasstumbler order best\t'
zpty -r shell said '*order bestmixer*'
zpty -n -w shell $'\x15glasstumbler aud\t'
zpty -r shell said '*glasstumbler audit*'
zpty -d shell
"""
"""Presses TAB in a terminal of zsh's own, and waits for what must come."""


@pytest.fixture
def beside(tmp_path: Path) -> dict[str, str]:
    """An environment in which `glasstumbler` is this one."""
    program = tmp_path / "bin" / "glasstumbler"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    return environment({"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)})


def shell_of(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is missing (Debian: apt-get install {name})")


def test_fish_completes(beside: dict[str, str]) -> None:
    done = subprocess.run([shell_of("fish"), "-c", FISH], capture_output=True, text=True, env=beside, timeout=60)
    offered = [line.split("\t")[0].strip() for line in done.stdout.splitlines()]
    assert (done.stderr, offered) == ("", ["bestmixer", "completed", "confirming"])


def test_zsh_completes(beside: dict[str, str]) -> None:
    done = subprocess.run([shell_of("zsh"), "-f", "-c", ZSH], capture_output=True, text=True, env=beside, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_of_other_shells(here: Command, shell: str) -> None:
    code, out, err = here("completion", shell)
    assert (code, err) == (0, "")
    for name, _ in commands(app):
        assert name.split()[0] in out
