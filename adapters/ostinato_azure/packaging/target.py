"""The Python and the platform that a package is built for, which are not those it is built on."""

from __future__ import annotations

import re

import msgspec

from ostinato_azure.packaging.errors import PackagingError

PYTHONS = ("3.11", "3.12", "3.13")
"""What both Ostinato and Flex Consumption run."""

MACHINE = "x86_64"
"""The one kind that Flex Consumption has."""

_LEGACY = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the package will run.

    Raises:
        PackagingError: Ostinato or the plan does not run there.
    """

    python: str = PYTHONS[-1]
    platform: str = "manylinux_2_28_x86_64"
    """A wheel's platform tag; those that are as old or older are taken, too."""

    def __post_init__(self) -> None:
        if self.python not in PYTHONS:
            raise PackagingError(
                f"--python {self.python}: a function app runs Python {', '.join(PYTHONS)}"
            )
        self.platforms()

    def platforms(self) -> list[str]:
        """Return the platform tags of the wheels that run there, best first.

        Raises:
            PackagingError: The tag is none of a glibc Linux, or of another machine.
        """
        found = re.fullmatch(r"(manylinux1|manylinux20\d\d|manylinux_2_(\d+))_(\w+)", self.platform)
        newest = int(found[2]) if found and found[2] else _LEGACY.get(found[1] if found else "")
        if found is None or newest is None:
            raise PackagingError(
                f"--platform {self.platform}: a function app runs on Linux; "
                "write e.g. manylinux_2_28_x86_64 or manylinux2014_x86_64"
            )
        if found[3] != MACHINE:
            raise PackagingError(
                f"--platform {self.platform}: a function app's machine is {MACHINE}"
            )
        tags: list[str] = []
        for minor in range(newest, 4, -1):
            tags.append(f"manylinux_2_{minor}_{MACHINE}")
            tags += [f"{name}_{MACHINE}" for name, old in _LEGACY.items() if old == minor]
        return [*tags, f"linux_{MACHINE}"]

    def markers(self) -> dict[str, str]:
        """Return the values of environment markers there (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": MACHINE,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }
