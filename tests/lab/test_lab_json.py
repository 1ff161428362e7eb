"""`--json` of the lab's commands, one after another: a dataset is made, given away, scored and shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.test_simulate import FILE

Command = Callable[..., tuple[int, str, str]]


def test_the_lab_in_json(here: Command, tmp_path: Path) -> None:
    def told(*arguments: object) -> Any:
        code, out, err = here(*arguments, "--json")
        assert (code, err, out.count("\n")) == (0, "", 1), (code, out, err)
        return json.loads(out)

    (scenario := tmp_path / "tiny.toml").write_text(FILE)
    data, scores = tmp_path / "set", tmp_path / "scores"
    made = told("simulate", scenario, "--orders", 30, "--out", data)
    assert (made["orders"], made["manifest"]) == (30, str(data / "manifest.json"))
    files = told("export", data, "--as", "tagpack", "--out", tmp_path / "tags")["files"]
    assert files and all(Path(file["path"]).stat().st_size == file["bytes"] for file in files)
    scored = told("score", data, "--method", "fifo-time", "--task", "T2", "--out", scores)
    assert scored["results"] == json.loads((scores / "results.json").read_text())
    assert str(scores / "results.json") in scored["files"]
    page = told("report", data, "--scores", scores / "results.json", "--out", tmp_path / "page.html")
    assert page["bytes"] == (tmp_path / "page.html").stat().st_size
