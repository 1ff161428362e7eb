"""The wheel, whole, in an empty environment; and what is told to container engines, as far as it goes without one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.web.server import environment

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "glasstumbler"
SECONDS = 240
SETTINGS = {"GLASSTUMBLER__LAB__CHAINS": '["btc"]', "GLASSTUMBLER__LAB__RATE_LIMITS": "off"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `python -m build` makes."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS, env=environment())
    return out


def wheel_of(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that had nothing in it. What is kept on this machine is enough, or the registry is
    asked; hashes are checked in any case."""
    place = tmp_path_factory.mktemp("installed")
    for number, offline in enumerate(({"UV_OFFLINE": "1"}, {})):
        venv = place / str(number)
        around = {"UV": str(Path(sys.executable).with_name("uv")), "PYTHON": sys.executable, "UV_SYSTEM_CERTS": "1"}
        command = ["sh", str(ROOT / "scripts" / "image.sh"), str(venv), str(wheel_of(built))]
        env = environment(around | offline)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=env)
        if done.returncode == 0:
            return venv / "bin"
    pytest.fail(done.stderr)


def alone(**more: str) -> dict[str, str]:
    """Nothing of this checkout is on the path of Python."""
    return {name: value for name, value in environment(more).items() if name != "PYTHONPATH"}


# -- what is in it ----------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_whole_package_and_the_docs(built: Path) -> None:
    held = set(zipfile.ZipFile(wheel_of(built)).namelist())
    files = {path.relative_to(ROOT / "src") for path in PACKAGE.rglob("*") if path.is_file()}
    wanted = {str(path) for path in files if "__pycache__" not in path.parts}
    docs = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.is_file()}
    wanted |= {f"glasstumbler/web/pages/docs/{path}" for path in docs}
    others = {name for name in held if ".dist-info/" not in name}
    assert others == wanted
    for kind in (".yaml", ".sql", ".toml", ".html", ".css", ".js", ".md"):
        assert [name for name in held if name.endswith(kind)], kind


def test_the_source_holds_what_it_is_built_of(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "docs/operations.md", "src/glasstumbler/cli.py"} <= held
    assert not [name for name in held if name.startswith((".venv", "nodes-bin", "dist"))]


# -- whether it works -------------------------------------------------------------------------------------------------


def test_an_empty_environment_runs_the_demonstration(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "glasstumbler"), "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=alone(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["holds"] and told["audit"]["clean"]
    assert (tmp_path / told["report"]).exists()


def test_an_empty_environment_serves_as_the_container_does(installed: Path, tmp_path: Path) -> None:
    """With the arguments and the health check of the Containerfile, on ports and in a folder of its own."""
    begun = [each.replace("/data", str(tmp_path / "data")) for each in json.loads(instruction("CMD", last=True))]
    command = [str(installed / "glasstumbler"), *begun, "--port", "0", "--block-interval", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=alone(**SETTINGS), cwd=tmp_path)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        port = httpx.URL(told["hub"]).port
        check = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
        assert "8700" in check[-1]
        check = [str(installed / "python"), *check[1:-1], check[-1].replace("8700", str(port))]
        subprocess.run(check, check=True, timeout=60, env=alone())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as browser:
            for path in ("/", "/docs", "/docs/operations"):
                page = browser.get(path)
                assert page.status_code == 200 and page.headers["content-type"].startswith("text/html"), path
            assert browser.get("/openapi/whir.yaml").status_code == 200
    finally:
        process.terminate()
        assert process.wait(30) == 0


# -- what engines are told --------------------------------------------------------------------------------------------


def instruction(name: str, last: bool = False) -> str:
    """What follows an instruction of the Containerfile, continued lines joined."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    found = re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)
    return str(found[-1 if last else 0]).strip()


def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_container_is_nobodys_root_and_holds_no_secret() -> None:
    assert instruction("USER", last=True).split(":")[0].isdigit() and instruction("USER").split(":")[0] != "0"
    assert instruction("VOLUME") == "/data"
    assert "/healthz" in instruction("HEALTHCHECK")
    whole = (ROOT / "Containerfile").read_text()
    assert not re.search(r"(?i)password|token|secret|GLASSTUMBLER_KEY", whole)
    assert "--require-hashes" in whole


def test_what_is_copied_into_the_container_is_let_in_and_there() -> None:
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    sources = re.findall(r"^COPY +(?!--from)(.*) \S+$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    for source in (name for line in sources for name in line.split()):
        assert (ROOT / source).exists() and f"!{source}" in let_in, source


def test_ports_are_published_on_loopback_alone() -> None:
    services = compose()["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:8700-8705:8700-8705"]
    assert services["worker"]["network_mode"] == "service:app"


def test_a_password_comes_from_outside() -> None:
    for name, service in compose()["services"].items():
        for variable, value in service["environment"].items():
            if "PASSWORD" in variable:
                assert value.startswith("${POSTGRES_PASSWORD:?"), name


def test_no_registry_is_named() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    images += [
        line.split()[0] for line in re.findall(r"^FROM +(.*)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    ]
    assert images and not [image for image in images if "/" in image]


@pytest.mark.parametrize("name", ["app", "worker"])
def test_commands_of_compose_are_ours(name: str, tmp_path: Path) -> None:
    """The command line is understood; the database that it names is not there."""
    command = [each.replace("/data", str(tmp_path / "data")) for each in compose()["services"][name]["command"]]
    command = [each.replace("@postgres/", "@127.0.0.1:1/") for each in command]
    arguments = [sys.executable, "-m", "glasstumbler", *command, *(["--port", "0"] if name == "app" else [])]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 1 and "cannot reach the store" in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
