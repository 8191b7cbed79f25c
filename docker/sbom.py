"""Print what is installed in an image as a bill of materials (CycloneDX 1.6, JSON): Python's packages and Debian's."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata


def python_packages() -> list[dict]:
    """Each distribution of this environment, by its normalised name."""
    found = {}
    for one in metadata.distributions():
        name = one.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        component = {"type": "library", "name": name, "version": one.version, "purl": f"pkg:pypi/{name}@{one.version}"}
        if expression := one.metadata.get("License-Expression"):
            component["licenses"] = [{"expression": expression}]
        found[name] = component
    return [found[name] for name in sorted(found)]


def debian_packages() -> list[dict]:
    """Each installed package of Debian, by its name."""
    command = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\n"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    packages = [line.split() for line in said.splitlines()]
    return [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{name}@{version}?arch={machine}"}
        for name, version, machine in packages
    ]


def main() -> None:
    components = [*python_packages(), *debian_packages()]
    print(
        json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}, indent=1)
    )


if __name__ == "__main__":
    main()
