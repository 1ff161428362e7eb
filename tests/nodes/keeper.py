"""Ends the nodes of a folder when the process that holds our standard input is gone, however it went: a test run that
is killed leaves no node behind. Started as `python -m tests.nodes.keeper FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from glasstumbler.nodes.running import Nodes

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    sys.stdin.read()
    if folder.exists():
        Nodes(folder).close()
        shutil.rmtree(folder, ignore_errors=True)
