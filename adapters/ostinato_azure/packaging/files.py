"""Which files of a project go into its package: what ``.funcignore`` leaves, and no secrets.

``.funcignore`` has the meaning of a ``.gitignore``; the host's own tools read it so, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from pathlib import Path

import pathspec

from ostinato_azure.packaging.errors import PackagingError

ALWAYS = (
    "__pycache__/",
    "*.py[cod]",
    "*.egg-info/",
    ".*_cache/",
    ".hypothesis/",
    ".idea/",
    ".vscode/",
    ".python_packages/",
    "node_modules/",
    ".DS_Store",
    ".funcignore",
    ".gitignore",
    "/*.zip",
    "*.db",
    "*.db-shm",
    "*.db-wal",
    "*.db.lock",
    "*.env",
    ".env.*",
    ".envrc",
    "local.settings.json",
)
"""Earlier packages, caches, histories and local settings: left out whatever ``.funcignore`` says,
unless it takes one back by a pattern with ``!``."""

USUALLY = ("/tests/", "/test/", "/docs/", "/infra/", "/dist/", "/build/", "/.*", "/*.md")
"""Left out where there is no ``.funcignore``."""

SECRET_NAMES = (
    "local.settings.json",
    "*.env",
    ".env.*",
    ".envrc",
    "*.pem",
    "*.key",
    "*.pfx",
    "*.p12",
    "*.jks",
    "*.kdbx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".pypirc",
    ".npmrc",
    ".git-credentials",
    "azureProfile.json",
    "msal_token_cache.*",
    "credentials*.json",
    ".aws/",
    ".azure/",
)
SECRET_MARKS = {
    rb"PRIVATE KEY-----": "'PRIVATE KEY'",
    rb"AccountKey=": "'AccountKey='",
    rb"SharedAccessKey=": "'SharedAccessKey='",
}
"""What a file with a secret holds: a private key, or a storage or message bus key."""

WHOLE_SECRETS = {
    # Between the mark and the key a literal may have line ends, quotes and the like.
    rb"PRIVATE KEY-----(?:\\[nr]|[\s\"'+()\\])*[A-Za-z0-9+/]{40}": "a private key",
    rb"AccountKey=[A-Za-z0-9+/]{86}==": "a storage key",
    rb"SharedAccessKey=[A-Za-z0-9+/]{43}=": "a message bus key",
}
"""Code may speak of keys, so of Python's files only those are refused that hold a whole one."""

PUBLIC_KEY = (
    b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Azurite's, which everybody knows."""

LOOKED_INTO = 1024 * 1024
"""Bytes of a file that are looked at."""


def project_files(project: Path, *, leave_out: Set[Path] = frozenset()) -> dict[str, Path]:
    """Return the files to pack by their name in the package, in order of the names.

    Args:
        project: The folder.
        leave_out: Further files, by absolute path, such as an earlier package.

    Raises:
        PackagingError: One of them looks like a secret, or a folder is a link.
    """
    found = dict(sorted(_walk(project, project, _rules(project), leave_out)))
    secrets = [f"{name} ({why})" for name, path in found.items() if (why := _secret(name, path))]
    if secrets:
        listed = "\n  ".join(secrets)
        raise PackagingError(
            f"these files look like secrets, which must not be in a package:\n  {listed}\n"
            "hint: name them in .funcignore; the deployed app takes secrets from its settings"
        )
    return found


def _rules(project: Path) -> pathspec.GitIgnoreSpec:
    ignore = project / ".funcignore"
    try:
        own = ignore.read_text(encoding="utf-8-sig").splitlines() if ignore.is_file() else USUALLY
        return pathspec.GitIgnoreSpec.from_lines([*ALWAYS, *own])
    except (UnicodeDecodeError, ValueError) as error:
        raise PackagingError(f"{ignore} cannot be read: {error}") from None


def _walk(
    folder: Path, project: Path, rules: pathspec.GitIgnoreSpec, leave_out: Set[Path]
) -> Iterator[tuple[str, Path]]:
    for path in folder.iterdir():
        name = path.relative_to(project).as_posix()
        if path.is_dir():
            if path.name == ".git" or (path / "pyvenv.cfg").is_file():
                continue
            if rules.match_file(f"{name}/"):  # as in git, nothing below can be taken back
                continue
            if path.is_symlink():
                raise PackagingError(
                    f"{name} is a link to a folder, which a package cannot hold: "
                    "copy the folder, or name the link in .funcignore"
                )
            yield from _walk(path, project, rules, leave_out)
        elif path.is_file() and not rules.match_file(name) and path.resolve() not in leave_out:
            yield name, path


_NAMES = pathspec.GitIgnoreSpec.from_lines(SECRET_NAMES)


def _secret(name: str, path: Path) -> str | None:
    """Why a file looks like a secret; None when it does not."""
    with path.open("rb") as file:
        begin = file.read(LOOKED_INTO).replace(b"AccountKey=" + PUBLIC_KEY, b"")
    marks = WHOLE_SECRETS if path.suffix == ".py" else SECRET_MARKS
    for mark, what in marks.items():
        if re.search(mark, begin):
            return f"holds {what}"
    is_certificate = b"-----BEGIN CERTIFICATE-----" in begin
    if _NAMES.match_file(name) and not is_certificate:
        return "by its name"
    return None
