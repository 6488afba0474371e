"""Which files of a project go into its package: what ``.funcignore`` leaves, and no secrets.

``.funcignore`` has the meaning of a ``.gitignore``; the host's own tools read it so, too.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path, PurePosixPath

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
    "/package.json",
    "/package-lock.json",
    "*.db",
    "*.db-*",
    "*.log",
    "*.pid",
    "*.env",
    ".env.*",
    ".envrc",
    "local.settings.json",
)
"""Earlier packages, caches, histories, logs, what npm is told to install beside the app, such as
Azurite, and local settings: left out whatever ``.funcignore`` says, unless it takes one back by a
pattern with ``!``."""

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
    "client_secret*.json",
    "*.tfstate",
    "*.tfstate.*",
    ".htpasswd",
    ".aws/",
    ".azure/",
)
SECRET_FILES = frozenset({"credentials", "kubeconfig"})
"""AWS's and Kubernetes' own. Folders of code have such names, too, and may keep them."""

CERTIFICATE_SUFFIXES = frozenset({".pem", ".crt", ".cer", ".key"})
"""Of files that may be certificates, whatever else their names say."""

PUBLIC_KEY = (
    b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Azurite's, which everybody knows."""

_NOT_PUBLIC = rb"(?!" + re.escape(PUBLIC_KEY) + rb")"

_REAL = rb"(?![<{$]|\.\.\.)"
"""Where no placeholder begins: no key begins as ``<your key>``, ``{key}``, ``${KEY}`` and ``...``
do."""

_GIVEN = rb"[\"']?[ \t]{0,9}=[ \t]{0,9}[\"']?" + _REAL + rb"[^\s\"'=]"
"""A value on the same line: a template has the name alone."""

_AWS = (b"aws_secret_access_key", b"AWS_SECRET_ACCESS_KEY")
"""As two, since a search without regard to case takes twenty times as long."""

SECRET_MARKS = {
    rb"PRIVATE KEY-----": "'PRIVATE KEY'",
    rb"AccountKey=" + _REAL + _NOT_PUBLIC: "'AccountKey='",
    rb"SharedAccessKey=" + _REAL: "'SharedAccessKey='",
    # It follows '=' in a connection string, a space in a header.
    rb"SharedAccessSignature[\s\"':=]{1,9}[^\s\"'<>]{0,1000}sig=" + _REAL: (
        "'SharedAccessSignature'"
    ),
    **{name + _GIVEN: "'aws_secret_access_key'" for name in _AWS},
    rb"_authToken" + _GIVEN: "'_authToken='",
}
"""What a file with a secret holds: a private key, the key or signature of a storage account or
message bus, AWS's key, or a token of npm's."""

WHOLE_SECRETS = {
    # Between the mark and the key a literal may have line ends, quotes and the like.
    rb"PRIVATE KEY-----(?:\\[nr]|[\s\"'+()\\]){0,1000}[A-Za-z0-9+/]{40}": "a private key",
    # People also put their key between the brackets of the placeholder.
    rb"AccountKey=<?" + _NOT_PUBLIC + rb"[A-Za-z0-9+/]{86}==": "a storage key",
    rb"SharedAccessKey=<?[A-Za-z0-9+/]{43}=": "a message bus key",
    rb"SharedAccessSignature[\s\S]{0,1000}?sig=<?(?:[A-Za-z0-9+/]|%2[BbFf]){43}(?:=|%3[Dd])": (
        "a shared access signature"
    ),
    # As an argument, an item of a mapping, or with its type.
    **{
        name + rb"[\s\"'\](:=,<]{1,20}(?:str[\s\"'(=<]{1,20})?[A-Za-z0-9+/]{40}": "an AWS key"
        for name in _AWS
    },
    rb"_authToken[ \t]{0,9}=[ \t]{0,9}[\"'<]?"
    rb"(?:[a-z]{3}_[A-Za-z0-9]{36}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})": "an npm token",
}
"""The same with a key behind it, in any file. Code may speak of keys, so Python's files are
refused for these alone."""

PIECE = 1024 * 1024
"""Bytes of a file that are looked at together."""

OVERLAP = 4096
"""Bytes that are looked at again with the next piece: no mark and key are longer."""

CERTIFICATES = re.compile(
    rb"(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]++-----END CERTIFICATE-----"
    # Between them the usual bundles have comments and underlined names.
    rb"|#[^\n]*+|[^\n]++\n===++|\s)++"
)
"""A file of certificates alone."""


def project_files(project: Path, *, leave_out: Set[Path] = frozenset()) -> dict[str, Path]:
    """Return the files to pack by their name in the package, in order of the names.

    Args:
        project: The folder.
        leave_out: Further files, by absolute path, such as an earlier package.

    Raises:
        PackagingError: One of them looks like a secret, or a link leads to a folder or out of the
            project.
    """
    found = dict(sorted(_walk(project, project, _rules(project), leave_out)))
    secrets = [
        f"{name} ({why})" for name, path in found.items() if (why := _secret(name, path, project))
    ]
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
            if path.is_symlink() and not path.resolve().is_relative_to(project.resolve()):
                raise PackagingError(
                    f"{name} is a link to {path.resolve()}, which is outside of the project: "
                    "copy the file into the project, or name the link in .funcignore"
                )
            yield name, path


_NAMES = pathspec.GitIgnoreSpec.from_lines(SECRET_NAMES)


def _secret(name: str, path: Path, project: Path) -> str | None:
    """Why a file looks like a secret; None when it does not."""
    # A link is judged by the name of its file, too, which tells more than one chosen for it.
    real = path.resolve().relative_to(project.resolve()).as_posix()
    is_code = name.endswith(".py") and real.endswith(".py")
    if what := _held(path, WHOLE_SECRETS if is_code else SECRET_MARKS | WHOLE_SECRETS):
        return f"holds {what}"
    if _is_secret_name(name, path):
        return "by its name"
    if _is_secret_name(real, path):
        return f"a link to {real}, by its name"
    return None


def _is_secret_name(name: str, path: Path) -> bool:
    last = PurePosixPath(name)
    if last.name not in SECRET_FILES and not _NAMES.match_file(name):
        return False
    return last.suffix not in CERTIFICATE_SUFFIXES or not _is_certificates(path)


def _is_certificates(path: Path) -> bool:
    if path.stat().st_size > PIECE:  # four times a bundle of all public ones
        return False
    content = path.read_bytes()
    return b"-----BEGIN CERTIFICATE-----" in content and bool(CERTIFICATES.fullmatch(content))


def _held(path: Path, marks: Mapping[bytes, str]) -> str | None:
    """What the first of the marks is that a file holds."""
    for text, end in _windows(path):
        for mark, what in marks.items():
            if (found := re.search(mark, text)) and found.start() < end:
                return what
    return None


def _windows(path: Path) -> Iterator[tuple[bytes, int]]:
    """All of a file's text in pieces that overlap, each with the place where the overlap begins.

    What begins in the overlap may be cut off at its end, and is whole in the next piece.
    """
    text = b""
    for piece in _pieces(path):
        text += piece
        yield text, len(text) - OVERLAP
        text = text[-OVERLAP:]
    yield text, len(text)


def _pieces(path: Path) -> Iterator[bytes]:
    """A file's text; UTF-16, which tools of Windows write, as UTF-8."""
    with path.open("rb") as file:
        is_utf_16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        decoder = codecs.getincrementaldecoder("utf-16")("replace") if is_utf_16 else None
        file.seek(0)
        while piece := file.read(PIECE):
            yield decoder.decode(piece).encode() if decoder else piece
