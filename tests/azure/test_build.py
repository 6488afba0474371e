"""The package of a project: what is in it, the same bytes each time, and no secrets."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ostinato as ost
from ostinato_azure.packaging.archive import write_zip
from ostinato_azure.packaging.build import AppReference, function_app_py, packed_python
from ostinato_azure.packaging.dependencies import install
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.files import OVERLAP, PIECE, project_files
from ostinato_azure.packaging.requirements import framework_requirements, requirements
from ostinato_azure.packaging.target import Target
from tests.azure.projects import HERE, SHOP, ostinato, own_names, write

AZURITE = (
    "AccountName=devstoreaccount1;AccountKey="
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""As in Azurite's documentation."""

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

OTHER = "3.12"
"""A Python that none of the tests runs on."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a package built of it, for the Python that runs the tests."""
    folder = write(
        tmp_path_factory.mktemp("shop"),
        {
            "shop.py": SHOP,
            "prices.csv": "bread,3\n",
            "tests/test_shop.py": "",
            "README.md": "",
            ".env": "SECRET=1",
            "local.settings.json": "{}",
        },
    )
    result = build(folder, folder / "app.zip")
    assert result.returncode == 0, result.stderr
    return folder


def build(folder: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = ["build", "azure", "-o", str(output), "--python", HERE, *more]
    return ostinato(folder, *arguments, XDG_CACHE_HOME=str(folder.parent / "cache"))


def target(python: str = OTHER) -> Target:
    return Target(python=python)


# --- the package ---


def test_it_holds_the_app_and_what_was_generated_and_no_more(shop: Path):
    assert own_names(shop / "app.zip") == [
        "function_app.py",
        "host.json",
        "prices.csv",
        "requirements.txt",
        "shop.py",
    ]


def test_it_tells_which_python_it_is_for(shop: Path):
    assert packed_python(shop / "app.zip") == HERE


def test_the_python_of_the_templates_parameters_is_built_for(shop: Path, tmp_path: Path):
    write(
        tmp_path,
        {
            "shop.py": SHOP,
            "requirements.txt": "--no-index\nnowhere-to-be-found\n",
            "infra/azure/main.parameters.json": (
                f'{{"parameters": {{"pythonVersion": {{"value": "{OTHER}"}}}}}}'
            ),
        },
    )
    result = ostinato(tmp_path, "build", "azure", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert f"installing dependencies for Python {OTHER} on" in result.stderr


def test_two_builds_give_the_same_bytes(shop: Path, tmp_path: Path):
    (shop / "shop.py").touch()
    (shop / "shop.py").chmod(0o600)
    write(shop, {"__pycache__/shop.cpython-311.pyc": b"0"})
    again = tmp_path / "again.zip"
    result = build(shop, again)
    assert "those of the last build" in result.stderr
    assert again.read_bytes() == (shop / "app.zip").read_bytes()
    assert build(shop, again, "--no-cache").returncode == 0
    assert again.read_bytes() == (shop / "app.zip").read_bytes()


def test_the_size_and_number_of_files_are_told(shop: Path, tmp_path: Path):
    output = tmp_path / "app.zip"
    told = build(shop, output).stdout
    with zipfile.ZipFile(output) as archive:
        assert f"{len(archive.namelist()):,} files" in told
    assert f"{output.stat().st_size / 1e6:.1f} MB" in told


def test_nothing_in_it_tells_when_or_how_it_was_made(shop: Path):
    with zipfile.ZipFile(shop / "app.zip") as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    assert names == sorted(names)
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.external_attr >> 16 for info in infos} == {0o100644}
    last = {name.rsplit("/", 1)[-1] for name in names}
    assert last.isdisjoint({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
    assert [name for name in names if name.endswith(".pyc") or "/bin/" in name] == []


def test_unpacked_it_runs_on_a_bare_python(shop: Path, tmp_path: Path):
    with zipfile.ZipFile(shop / "app.zip") as archive:
        archive.extractall(tmp_path)
    site = tmp_path / ".python_packages" / "lib" / "site-packages"
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import azure.functions, azure.identity, azure.storage.blob, httpx\n"
        "import importlib.metadata, ostinato, ostinato_azure, shop\n"
        "from ostinato.local import LocalHost\n"
        "with LocalHost(shop.app, store=':memory:') as host:\n"
        "    print(host.client.wait(host.client.start('order', 'tea'), timeout=60).output)\n"
        "print(importlib.metadata.version('ostinato'), ostinato.__file__.startswith(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", script, str(tmp_path), str(site)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[0] == "tea, packed", done.stderr
    assert done.stdout.splitlines()[1].endswith(" True")
    assert not (site / "ostinato" / "cli").exists()
    assert not (site / "ostinato_azure" / "packaging").exists()


def test_its_own_function_app_and_host_json_are_kept(shop: Path, tmp_path: Path):
    own = "import azure.functions as func\n\napp = func.FunctionApp()\n"
    folder = write(tmp_path, {"function_app.py": own, "host.json": '{"version": "2.0"}'})
    result = ostinato(
        folder, "build", "azure", "--python", HERE, XDG_CACHE_HOME=str(shop.parent / "cache")
    )
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(folder / "app.zip") as archive:
        assert archive.read("function_app.py") == own.encode()
        assert archive.read("host.json") == b'{"version": "2.0"}'


def test_the_generated_module_is_what_one_would_write():
    found = AppReference(app=ost.App("shop"), module="shop.main", attribute="app")
    assert function_app_py(found, grpc=False) == (
        "import ostinato_azure\n"
        "from shop.main import app as ostinato_app\n\n"
        "app = ostinato_azure.function_app(ostinato_app)\n"
    )
    assert "function_app(ostinato_app, grpc=True)" in function_app_py(found, grpc=True)


def test_an_app_that_is_left_out_of_its_package_is_an_error(tmp_path: Path):
    folder = write(tmp_path, {"shop.py": SHOP, ".funcignore": "shop.py"})
    result = ostinato(folder, "build", "azure")
    assert result.returncode == 2
    assert "'shop' is not in the package" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--python", "3.9"], "--python 3.9: a function app runs Python 3.11, 3.12, 3.13"),
        (["--platform", "win_amd64"], "--platform win_amd64: a function app runs on Linux"),
        (["--app", "nowhere:app"], "there is no module 'nowhere'"),
        (["--platform", "manylinux_2_28_aarch64"], "a function app's machine is x86_64"),
        (["-o", "/proc/app.zip"], "/proc/app.zip cannot be written"),
        (["-o", "."], ". is a folder: name a file in it, such as app.zip"),
    ],
)
def test_bad_arguments_are_told_in_a_line(shop: Path, arguments: list[str], said: str):
    result = ostinato(shop, "build", "azure", *arguments, XDG_CACHE_HOME=str(shop.parent / "cache"))
    assert result.returncode == 2
    assert said in result.stderr
    assert "installing" not in result.stderr
    assert "Traceback" not in result.stderr


# --- which files ---


def names(folder: Path) -> list[str]:
    return list(project_files(folder))


def test_funcignore_means_what_a_gitignore_does(tmp_path: Path):
    write(
        tmp_path,
        {
            ".funcignore": "# local\n*.log\n!keep.log\n/data/\nsub/*.txt\n\\#odd\n",
            "a.log": "",
            "keep.log": "",
            "data/a.csv": "",
            "sub/data/a.csv": "",
            "sub/a.txt": "",
            "sub/deeper/a.txt": "",
            "#odd": "",
            "docs/a.md": "",
        },
    )
    assert names(tmp_path) == ["docs/a.md", "keep.log", "sub/data/a.csv", "sub/deeper/a.txt"]


def test_environments_histories_and_caches_are_never_packed(tmp_path: Path):
    write(
        tmp_path,
        {
            ".funcignore": "",
            ".git/config": "",
            "my-env/pyvenv.cfg": "",
            "my-env/lib/a.py": "",
            "pkg/__pycache__/a.pyc": "",
            "ostinato.db": "",
            **{f"ostinato.db-{suffix}": "" for suffix in ("lock", "running", "shm", "wal")},
            "ostinato.log": "",
            "emulator.pid": "",
            "package.json": "{}",
            "package-lock.json": "{}",
            "node_modules/a.js": "",
            ".mypy_cache/a": "",
            "local.settings.json": "{}",
            ".env": "A=1",
            "prod.env": "A=1",
            "pkg/.envrc": "A=1",
            "pkg/a.py": "",
        },
    )
    assert names(tmp_path) == ["pkg/a.py"]


def test_what_a_run_here_leaves_behind_is_not_packed_whatever_the_engine_makes(tmp_path: Path):
    write(tmp_path, {"a.py": ""})
    with ost.local.LocalHost(ost.App("here"), store=tmp_path / "ostinato.db"):
        assert names(tmp_path) == ["a.py"]
    assert names(tmp_path) == ["a.py"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("certs/server.pem", "-----BEGIN PRIVATE KEY-----", "PRIVATE KEY"),
        ("server.pem", "anything", "by its name"),
        ("keys/id_rsa", "anything", "by its name"),
        ("deploy.key", "anything", "by its name"),
        ("notes.txt", "x\n-----BEGIN OPENSSH PRIVATE KEY-----\n", "PRIVATE KEY"),
        ("config.json", '"AccountName=a;AccountKey=abc=="', "AccountKey="),
        ("credentials-prod.json", "{}", "by its name"),
        ("home/.aws/credentials", "", "by its name"),
        ("home/.azure/clouds.config", "", "by its name"),
        ("store.py", f'"AccountName=a;AccountKey={"k3y+" * 21}kk=="', "a storage key"),
        ("bus.py", f"'SharedAccessKey={'k3y/' * 10}kkk='", "a message bus key"),
        ("sign.py", f'K = """-----BEGIN PRIVATE KEY-----\n{"MIIE" * 16}\n"""', "a private key"),
        (
            "sign.py",
            f"K = ('-----BEGIN RSA PRIVATE KEY-----\\n'\n  '{'MIIE' * 16}')",
            "private key",
        ),
    ],
)
def test_what_looks_like_a_secret_is_refused_by_name(
    tmp_path: Path, name: str, content: str, why: str
):
    write(tmp_path, {name: content, "shop.py": SHOP})
    result = ostinato(tmp_path, "build", "azure")
    assert result.returncode == 2
    assert name in result.stderr
    assert why in result.stderr
    assert "hint: name them in .funcignore" in result.stderr
    assert not any(key in result.stderr for key in ("abc==", "k3y", "MIIE"))
    write(tmp_path, {".funcignore": name})
    assert names(tmp_path) == ["shop.py"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("aws/credentials", "", "by its name"),
        ("client_secret_1.apps.json", "{}", "by its name"),
        ("terraform.tfstate", "{}", "by its name"),
        ("terraform.tfstate.backup", "{}", "by its name"),
        ("web/.htpasswd", "", "by its name"),
        ("kubeconfig", "", "by its name"),
        ("bus.txt", "SharedAccessKeyName=a;SharedAccessKey=k3y=", "SharedAccessKey="),
        ("sas.txt", "SharedAccessSignature=sv=2024&sig=k3y%3D", "SharedAccessSignature"),
        ("bus.txt", "SharedAccessSignature sr=sb%3A&sig=k3y%3D&se=1", "SharedAccessSignature"),
        ("aws.ini", "aws_secret_access_key = k3y", "aws_secret_access_key"),
        ("aws.sh", "export AWS_SECRET_ACCESS_KEY=k3y", "aws_secret_access_key"),
        ("aws.json", f'{{"aws_secret_access_key": "{"k3y+" * 10}"}}', "an AWS key"),
        ("npmrc.txt", "//registry.npmjs.org/:_authToken=k3y", "_authToken="),
        ("guide.md", f"AccountKey=<{'k3y+' * 21}kk==>", "a storage key"),
        ("sas.py", f"'SharedAccessSignature=sv=1&'\n'sig={'k3y%2B' * 10}kkk%3D'", "signature"),
        ("aws.py", f"os.environ['AWS_SECRET_ACCESS_KEY'] = '{'k3y+' * 10}'", "an AWS key"),
        ("aws.py", f"aws_secret_access_key: str = '{'k3y+' * 10}'", "an AWS key"),
        ("npm.py", f"'//registry/:_authToken=npm_{'k3y4' * 9}'", "an npm token"),
    ],
)
def test_a_funcignore_lets_no_secret_in(tmp_path: Path, name: str, content: str, why: str):
    write(tmp_path, {name: content, ".funcignore": ""})
    with pytest.raises(PackagingError, match=rf"{re.escape(name)} \(.*{why}"):
        names(tmp_path)


def test_code_may_speak_of_keys_and_hold_the_one_that_all_know(tmp_path: Path):
    code = (
        "BEGIN = '-----BEGIN PRIVATE KEY-----'\n"
        "if 'AccountKey=' in text or 'SharedAccessKey=' in text: refuse(text)\n"
        "client(aws_secret_access_key=settings.aws_key)\n"
        "line = 'SharedAccessSignature=sv=1&sig=' + sign(text) + '_authToken=' + token\n"
    )
    write(tmp_path, {"a.py": code, "b.py": f"'{AZURITE}'", "c.toml": f"storage = '{AZURITE}'"})
    assert names(tmp_path) == ["a.py", "b.py", "c.toml"]


@pytest.mark.parametrize("name", ["guide.md", "store.py", "app.yaml"])
@pytest.mark.parametrize(
    "text",
    [
        "AccountName=a;AccountKey=<your key>",
        "AccountKey={key};",
        "AccountKey=...",
        "SharedAccessKeyName=a;SharedAccessKey=<key>",
        "SharedAccessSignature=<signature>",
        "SharedAccessSignature=sv=1&sig=<signature>",
        "AWS_SECRET_ACCESS_KEY=\nREGION=eu",
        "aws_secret_access_key = ${KEY}",
        "if aws_secret_access_key == text:",
        "aws_secret_access_key: str | None",
        "//registry.npmjs.org/:_authToken=${NPM_TOKEN}",
    ],
)
def test_what_stands_for_a_secret_is_none(tmp_path: Path, name: str, text: str):
    write(tmp_path, {".funcignore": "", name: text})
    assert names(tmp_path) == [name]


def test_folders_of_code_may_have_the_names_of_files_with_secrets(tmp_path: Path):
    write(tmp_path, {"credentials/a.py": "", "kubeconfig/a.py": "", "credentials.py": ""})
    assert names(tmp_path) == ["credentials.py", "credentials/a.py", "kubeconfig/a.py"]


@pytest.mark.parametrize("place", [PIECE - 4, PIECE, 3 * PIECE + 7, 3 * PIECE - OVERLAP - 4])
def test_a_file_is_looked_at_to_its_end(tmp_path: Path, place: int):
    write(tmp_path, {"log.txt": " " * place + "AccountKey=abc=="})
    with pytest.raises(PackagingError, match=r"log\.txt \(holds 'AccountKey='\)"):
        names(tmp_path)


@pytest.mark.parametrize("shown", [30, 40, 41, 127, 128, 139, 140])
def test_what_the_end_of_a_piece_cuts_off_is_judged_whole(tmp_path: Path, shown: int):
    write(tmp_path, {"log.txt": " " * (PIECE - shown) + AZURITE + " AccountKey=<your key>"})
    assert names(tmp_path) == ["log.txt"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", ["", " " * PIECE, "\N{GRINNING FACE}" * (PIECE // 4)])
def test_secrets_are_found_in_the_text_of_windows(tmp_path: Path, encoding: str, before: str):
    text = f"\N{BYTE ORDER MARK}{before}AccountName=a;AccountKey=abc=="
    write(tmp_path, {"storage.txt": text.encode(encoding)})
    with pytest.raises(PackagingError, match=r"storage\.txt \(holds 'AccountKey='\)"):
        names(tmp_path)


@pytest.mark.parametrize("name", [".env", "prod.env", ".envrc", "local.settings.json"])
def test_settings_with_secrets_are_refused_even_when_they_are_asked_for(tmp_path: Path, name: str):
    write(tmp_path, {name: "{}", ".funcignore": f"!{name}"})
    with pytest.raises(PackagingError, match=name):
        names(tmp_path)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", ".azure/ca.crt", ".azure/ca.cer"])
@pytest.mark.parametrize(
    "text",
    [
        CERTIFICATE,
        f"{CERTIFICATE}\n{CERTIFICATE}".replace("\n", "\r\n"),
        f"# Issuer: A\n# Label: B\n{CERTIFICATE}",
        f"##\n## Bundle\n##\n\nAn Authority\n============\n{CERTIFICATE}",
    ],
)
def test_a_file_of_certificates_is_no_secret(tmp_path: Path, name: str, text: str):
    write(tmp_path, {".funcignore": "", name: text})
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".npmrc", f"registry=https://example.org\n{CERTIFICATE}"),
        ("credentials", CERTIFICATE),
        ("id_rsa", CERTIFICATE),
        ("server.pem", f"{CERTIFICATE}password: k3y\n"),
        ("server.key", f"-----BEGIN DH PARAMETERS-----\nk3y\n{CERTIFICATE}"),
        ("server.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n"),
        ("server.pem", "# nothing\n"),
    ],
)
def test_what_has_more_than_certificates_is_judged_by_its_name(
    tmp_path: Path, name: str, text: str
):
    write(tmp_path, {".funcignore": "", name: text})
    with pytest.raises(PackagingError, match=f"{re.escape(name)} \\(by its name"):
        names(tmp_path)


def test_a_link_to_a_file_of_the_project_is_followed(tmp_path: Path):
    write(tmp_path, {"project/a.py": "1"})
    (tmp_path / "linked").symlink_to("project", target_is_directory=True)
    (tmp_path / "project" / "b.py").symlink_to("a.py")
    assert names(tmp_path / "project") == ["a.py", "b.py"]
    assert names(tmp_path / "linked") == ["a.py", "b.py"]


def test_a_link_that_leads_out_of_the_project_is_refused(tmp_path: Path):
    folder = write(tmp_path / "project", {"a.py": "1", ".funcignore": ""})
    outside = write(tmp_path / "outside", {"b.py": "2"}) / "b.py"
    (folder / "b.py").symlink_to("../outside/b.py")
    said = f"b.py is a link to {outside}, which is outside of the project: copy the file into"
    with pytest.raises(PackagingError, match=re.escape(said)):
        names(folder)
    write(folder, {".funcignore": "b.py"})
    assert names(folder) == ["a.py"]


def test_a_link_to_a_folder_is_refused(tmp_path: Path):
    write(tmp_path, {"folder/a.py": "1"})
    (tmp_path / "linked").symlink_to("folder", target_is_directory=True)
    with pytest.raises(PackagingError, match="linked is a link to a folder"):
        names(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [("", "a link to keys/id_rsa, by its name"), ("AccountKey=abc==", "holds 'AccountKey='")],
)
def test_a_link_is_judged_by_the_name_of_its_file_too(tmp_path: Path, content: str, why: str):
    write(tmp_path, {"keys/id_rsa": content, ".funcignore": "keys"})
    (tmp_path / "notes.py").symlink_to("keys/id_rsa")
    with pytest.raises(PackagingError, match=rf"notes\.py \({why}\)"):
        names(tmp_path)


# --- the zip file ---


def test_the_time_in_the_zip_may_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = tmp_path / "a.zip"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    assert write_zip(output, {"b": b"22", "a": b"1"}) == 3
    with zipfile.ZipFile(output) as archive:
        assert [i.filename for i in archive.infolist()] == ["a", "b"]
        assert archive.infolist()[0].date_time == (2020, 9, 13, 12, 26, 40)


@pytest.mark.parametrize("given", ["yesterday", "4354819199", "9" * 5000])
def test_a_time_that_a_zip_cannot_hold_is_refused(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    with pytest.raises(PackagingError, match=f"'{given}', not seconds"):
        write_zip(tmp_path / "a.zip", {})


def test_a_failed_write_leaves_what_was_there(tmp_path: Path):
    output = tmp_path / "a.zip"
    output.write_bytes(b"before")
    with pytest.raises(PackagingError, match="cannot be written"):
        write_zip(output, {"a": tmp_path / "gone"})
    assert output.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


# --- dependencies ---


def test_requirements_are_the_files_own_judged_for_the_target(tmp_path: Path):
    write(
        tmp_path,
        {
            "requirements.txt": (
                "# what we need\n"
                "-r more/base.txt\n"
                "-c constraints.txt\n"
                "tomli>=2 ; python_version < '3.11'  # not there\n"
                "linux-only ; sys_platform == 'linux'\n"
                "pywin32; sys_platform == 'win32'\n"
                "ostinato[http] >= 0.1\n"
            ),
            "more/base.txt": "polars \\\n  >= 1\n",
            "constraints.txt": "",
        },
    )
    lines = requirements(tmp_path, target())
    constraint = f"-c {tmp_path.resolve() / 'constraints.txt'}"
    assert lines[:3] == ("polars>=1", constraint, "linux-only")
    assert not any("tomli" in line or "pywin32" in line for line in lines)
    assert not any(line.startswith("ostinato") for line in lines)
    assert {line.partition(">")[0] for line in lines[3:]} >= {"azure-functions", "msgspec", "httpx"}


def test_without_a_file_the_project_table_tells(tmp_path: Path):
    write(tmp_path, {"pyproject.toml": "[project]\ndependencies = ['polars>=1', 'ostinato']\n"})
    assert requirements(tmp_path, target())[0] == "polars>=1"


def test_an_extra_that_has_another_of_ours_brings_what_that_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    extras = {"azure": "below", "emulator": "ostinato[azure]", "more": "ostinato[emulator]"}
    declared = [f"Requires-Dist: {what}; extra == '{extra}'\n" for extra, what in extras.items()]
    head = "Metadata-Version: 2.1\nName: ostinato\nVersion: 9.0\nRequires-Dist: msgspec\n"
    write(tmp_path, {"ostinato-9.0.dist-info/METADATA": head + "".join(declared)})
    monkeypatch.syspath_prepend(tmp_path)
    assert framework_requirements({"more"}, target()) == ["msgspec", "below"]
    assert framework_requirements({"other"}, target()) == ["msgspec"]


def test_only_the_durable_task_protocol_brings_its_packages(tmp_path: Path):
    def names() -> set[str]:
        return {line.partition(">")[0] for line in requirements(tmp_path, target())}

    assert not names() & {"durabletask", "protobuf"}
    write(tmp_path, {"pyproject.toml": "[tool.ostinato.azure]\ngrpc = true\n"})
    assert names() >= {"durabletask", "protobuf", "azure-functions"}


@pytest.mark.parametrize(
    "text",
    [
        "[project]\ndynamic = ['dependencies']\n",
        "[tool.poetry.dependencies]\npython = '^3.11'\npolars = '^1.0'\n",
    ],
)
def test_dependencies_that_only_a_build_tool_knows_are_asked_for(tmp_path: Path, text: str):
    write(tmp_path, {"pyproject.toml": text})
    with pytest.raises(PackagingError, match=r"pyproject\.toml\): write a requirements\.txt"):
        requirements(tmp_path, target())
    write(tmp_path, {"requirements.txt": "polars>=1\n"})
    assert requirements(tmp_path, target())[0] == "polars>=1"


def test_a_poetry_project_without_dependencies_needs_no_file(tmp_path: Path):
    write(tmp_path, {"pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.11'\n"})
    assert requirements(tmp_path, target())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("project = 3", "project in .* is no table"),
        ("tool = 3", "tool in .* is no table"),
        ("[tool]\nostinato = []", r"tool\.ostinato in .* is no table"),
        ("[project]\ndependencies = 'requests'", "Expected `array"),
        ("[project]\ndependencies = [3]", "Expected `str`"),
    ],
)
def test_a_pyproject_of_another_shape_is_told_in_a_line(tmp_path: Path, text: str, said: str):
    write(tmp_path, {"pyproject.toml": text})
    with pytest.raises(PackagingError, match=said):
        requirements(tmp_path, target())


def test_a_file_that_includes_itself_is_named(tmp_path: Path):
    write(tmp_path, {"requirements.txt": "-r more/a.txt", "more/a.txt": "-r ../requirements.txt"})
    with pytest.raises(PackagingError, match=r"requirements\.txt includes itself"):
        requirements(tmp_path, target())


def test_a_file_may_be_included_twice(tmp_path: Path):
    write(tmp_path, {"requirements.txt": "-r a.txt\n-r a.txt", "a.txt": "polars"})
    assert requirements(tmp_path, target())[0] == "polars"


@pytest.mark.parametrize("line", ["-e .", "./vendored", ".", "--editable ../other"])
def test_folders_of_this_machine_are_refused(tmp_path: Path, line: str):
    write(tmp_path, {"requirements.txt": line})
    with pytest.raises(PackagingError, match="is a folder or file of this machine"):
        requirements(tmp_path, target())


def wheel(
    folder: Path, name: str, *requires: str, tag: str = "py3-none-any", version: str = "1.0"
) -> None:
    """Make a wheel of one empty module."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    metadata += "Provides-Extra: more\n"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, content)


def test_what_only_the_target_needs_is_installed_too(tmp_path: Path):
    wheels = tmp_path / "wheels"
    wheel(wheels, "asked", f"first; python_version == '{OTHER}'", "never; extra == 'more'")
    wheel(wheels, "first", f"second[more]; python_version == '{OTHER}'")
    wheel(wheels, "second", f"third; python_version == '{OTHER}' and extra == 'more'")
    wheel(wheels, "third", tag="cp312-cp312-manylinux_2_17_x86_64")
    wheel(wheels, "never")
    lines = ["--no-index", f"--find-links {wheels}", "asked"]
    installed = install(lines, target(), cache=tmp_path / "cache")
    assert installed.versions() == ["asked==1.0", "first==1.0", "second==1.0", "third==1.0"]
    assert "asked.py" in installed.files()
    assert not any(name.startswith("bin/") for name in installed.files())


def test_the_same_question_is_asked_once(tmp_path: Path):
    wheels = tmp_path / "wheels"
    wheel(wheels, "asked")
    lines = ["--no-index", f"--find-links {wheels}", "asked"]
    cache = tmp_path / "cache"
    assert not install(lines, target(), cache=cache).is_cached
    assert install(lines, target(), cache=cache).is_cached
    assert not install(lines, target("3.11"), cache=cache).is_cached
    anew = install(lines, target(), cache=cache, fresh=True)
    assert not anew.is_cached
    assert anew.versions() == ["asked==1.0"]
    assert len(list(cache.iterdir())) == 2


def test_what_lines_name_on_this_machine_is_a_part_of_the_question(tmp_path: Path):
    wheels = tmp_path / "wheels"
    wheel(wheels, "asked")
    wheel(tmp_path, "named")
    write(tmp_path, {"constraints.txt": "asked==1.0"})
    lines = ["--no-index", f"--find-links {wheels}", f"-c {tmp_path}/constraints.txt", "asked"]
    lines.append(f"named @ {(tmp_path / 'named-1.0-py3-none-any.whl').as_uri()}")
    cache = tmp_path / "cache"

    def is_cached() -> bool:
        return install(lines, target(), cache=cache).is_cached

    assert [is_cached(), is_cached()] == [False, True]
    write(tmp_path, {"constraints.txt": "asked>=1.0"})
    assert [is_cached(), is_cached()] == [False, True]
    wheel(tmp_path, "named", "asked")
    assert [is_cached(), is_cached()] == [False, True]
    wheel(wheels, "asked", tag="cp312-none-any")
    assert [is_cached(), is_cached()] == [False, True]


def locked(folder: Path, name: str, marker: str = "") -> str:
    """A line of a lock file, as tools write it."""
    archive = (folder / f"{name}-1.0-py3-none-any.whl").read_bytes()
    return f"{name}==1.0{marker} \\\n    --hash=sha256:{hashlib.sha256(archive).hexdigest()}\n"


def test_a_lock_files_hashes_hold_for_its_own_lines_and_its_versions_for_all(tmp_path: Path):
    wheels = tmp_path / "wheels"
    wheel(wheels, "asked", "below")
    wheel(wheels, "below")
    wheel(wheels, "below", version="2.0")
    wheel(wheels, "frame", "below", f"target; python_version == '{OTHER}'")
    wheel(wheels, "target")
    lock = locked(wheels, "asked") + locked(wheels, "below", f" ; python_version == '{OTHER}'")
    options = "--no-index\n--require-hashes\n--find-links wheels\n"
    elsewhere = "pywin32==1 ; sys_platform == 'win32' --hash=sha256:00\n"
    write(tmp_path, {"requirements.txt": options + lock + elsewhere})
    lines = requirements(tmp_path, target())[:5]  # what follows is the framework's own
    installed = install([*lines, "frame"], target(), cache=tmp_path / "cache")
    assert installed.versions() == ["asked==1.0", "below==1.0", "frame==1.0", "target==1.0"]
    wheel(wheels, "below", "asked")
    with pytest.raises(PackagingError, match="DO NOT MATCH THE HASHES"):
        install([*lines, "frame"], target(), cache=tmp_path / "cache")


def test_of_builds_side_by_side_none_takes_away_what_another_packs(tmp_path: Path):
    wheels = tmp_path / "wheels"
    wheel(wheels, "asked")
    lines = ["--no-index", f"--find-links {wheels}", "asked"]

    def installed(number: int) -> tuple[Path, int]:
        folder = install(lines, target(), cache=tmp_path / "cache").folder
        return folder, folder.stat().st_ino

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(installed, range(2)))
    assert [inode for _, inode in found] == [folder.stat().st_ino for folder, _ in found]


def test_what_cannot_be_installed_is_told_with_pips_words(tmp_path: Path):
    wheels = tmp_path / "wheels"
    wheel(wheels, "asked", tag="cp312-cp312-win_amd64")
    with pytest.raises(
        PackagingError, match=r"for Python 3\.12 on manylinux_2_28_x86_64:\n.*asked"
    ):
        install(
            ["--no-index", f"--find-links {wheels}", "asked"], target(), cache=tmp_path / "cache"
        )
    assert list((tmp_path / "cache").iterdir()) == []


def test_older_platforms_run_on_newer_ones():
    tags = Target(platform="manylinux2014_x86_64").platforms()
    assert tags[:2] == ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]
    assert "manylinux1_x86_64" in tags
    assert "manylinux_2_28_x86_64" not in tags


@pytest.mark.parametrize(
    ("lacking", "command"),
    [("ostinato_azure", "synth"), ("pathspec", "build"), ("azure.functions", "synth")],
)
def test_a_missing_extra_is_named(tmp_path: Path, lacking: str, command: str):
    write(tmp_path, {"shop.py": SHOP})
    script = (
        f"import sys; sys.modules[{lacking!r}] = None; sys.argv[1:] = [{command!r}, 'azure']\n"
        "from ostinato.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"this needs {lacking}" in done.stderr
    assert "pip install 'ostinato[azure,cli]'" in done.stderr
    assert "Traceback" not in done.stderr
