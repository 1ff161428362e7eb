"""The command as a reader types it. `serve` is started on free ports, waited for until it is ready, and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "glasstumbler", *arguments]
    if arguments[:1] != ["serve"]:
        return subprocess.run(command).returncode
    if "--port" in command:
        command[command.index("--port") + 1] = "0"
    else:
        command += ["--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        ready = any(line.startswith("lab token") for line in server.stdout)
        server.send_signal(signal.SIGINT)
        return server.wait(60) if ready else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
