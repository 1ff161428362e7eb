"""One target under atheris in a process of its own: `python -m fuzz.harness TARGET|all [OPTION...] FOLDER...`, the
options being libFuzzer's."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["glasstumbler"]):
    from fuzz.targets import ALL, TARGETS

from fuzz.target import hold


def main() -> None:
    name, *options = sys.argv[1:]
    target = ALL if name == "all" else TARGETS[name]
    atheris.Setup([sys.argv[0], f"-max_len={target.longest}", *options], lambda data: hold(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
