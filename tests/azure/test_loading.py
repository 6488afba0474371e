"""A package that could not run is refused, with what mends it, before it is written."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.loading import check_app, check_files
from ostinato_azure.packaging.target import Target
from tests.azure.projects import HERE, SHOP, ostinato, write

FUNCTION_APP = (
    "import ostinato_azure\nfrom shop import app as ostinato_app\n"
    "app = ostinato_azure.function_app(ostinato_app)\n"
)
OTHER = "3.12"
"""A Python that none of the tests runs on."""


def files(**modules: str) -> dict[str, Path | bytes]:
    own = {"function_app.py": FUNCTION_APP, "shop.py": SHOP, "host.json": "{}"}
    given = {f"{name}.py": text for name, text in modules.items()}
    return {name: text.encode() for name, text in (own | given).items()}


def load(
    own: dict[str, Path | bytes], *packages: str, project: Path = Path("nowhere")
) -> list[str]:
    """Load an app whose packages have files of these names; return what was said."""
    said: list[str] = []
    empty: dict[str, Path | bytes] = dict.fromkeys(packages, b"")
    check_app(own, empty, Target(python=OTHER), project, said.append)
    return said


PACKED = ("ostinato/__init__.py", "ostinato_azure/__init__.py", "azure/functions/__init__.py")
"""What an app of these tests imports."""


# --- the files ---


@pytest.mark.parametrize("own", [{}, {"untouched": "def x(:"}], ids=["imported", "not imported"])
def test_a_module_that_does_not_compile_is_named_with_its_line(own: dict[str, str]):
    broken = files(**(own or {"shop": SHOP + "\ndef x(:\n"}))
    with pytest.raises(PackagingError) as caught:
        check_files(broken, Target(python=HERE))
    name = "untouched.py:1" if own else "shop.py:14"
    assert f"{name}: def x(:" in str(caught.value)
    assert ".funcignore" in str(caught.value)


def test_what_an_older_python_cannot_read_is_refused_for_it():
    matched = files(shop="type Item = str\n")
    if sys.version_info >= (3, 12):
        check_files(matched, Target(python="3.13"))
        why = "does not compile"
    else:
        why = r"this is Python 3\.11: build with 3\.13"
    with pytest.raises(PackagingError, match=why):
        check_files(matched, Target(python="3.11" if sys.version_info >= (3, 12) else "3.13"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{bad", "host.json: it is no JSON: "),
        ("[1]", "host.json: it is no JSON object"),
        ('{"version": "2.0", "extensions": []}', "host.json: 'extensions' is no JSON object"),
        ('{"version": "1.0"}', 'host.json: version is "1.0": the host wants'),
    ],
)
def test_a_host_json_that_is_none_is_refused(text: str, said: str):
    with pytest.raises(PackagingError, match=said):
        check_files(files() | {"host.json": text.encode()}, Target(python=HERE))


def test_a_key_of_host_json_that_means_nothing_is_told_and_packed():
    said = list[str]()
    text = b'{"version": "2.0", "extension": {}}'
    check_files(files() | {"host.json": text}, Target(python=HERE), said.append)
    assert said == [
        "warning: host.json: 'extension' means nothing to Azure's host: is it 'extensions'?"
    ]


# --- the app ---


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ost.Schedule('0 99 * * *')", "cron expression '0 99 * * *' is not valid"),
        ("ost.Blob('incoming')", "blob pattern 'incoming' names no blob"),
        ("app.orchestration(lambda ctx: 1, name='plain')", "RegistrationError"),
        ("import os; os.environ['NOT_SET']", "settings that it reads are those of this"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_an_app_that_cannot_be_loaded_is_refused_with_its_own_line(line: str, said: str):
    with pytest.raises(PackagingError) as caught:
        load(files(shop=f"{SHOP}\n{line}\n"), *PACKED)
    assert said in str(caught.value)
    assert f"shop.py:14: {line}" in str(caught.value)


def test_what_a_process_said_that_ended_while_it_loaded_the_app_is_told():
    line = "import os; os.write(2, b'oh no'); os._exit(4)"
    with pytest.raises(PackagingError, match=r"ended with 4\n  oh no"):
        load(files(shop=line), *PACKED)


@pytest.mark.parametrize(("text", "count"), [("", "no"), (FUNCTION_APP + "again = app", "2")])
def test_the_worker_wants_one_function_app(text: str, count: str):
    with pytest.raises(PackagingError, match=f"it declares {count} function apps"):
        load(files(function_app=text), *PACKED)


def test_where_the_packages_cannot_be_imported_that_is_told_in_a_line():
    (said,) = load(files(shop=f"print('loaded')\n{SHOP}"), *PACKED)
    assert said.startswith(f"not tried with the packages for Python {OTHER} on manylinux_2_28_x86_")


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        ("import pytest", "pytest"),
        ("from hypothesis.strategies import text", "hypothesis.strategies"),
        ("import azure.storage.blob", "azure.storage.blob"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
    ],
)
def test_there_an_import_of_what_is_not_packed_is_found_all_the_same(line: str, lacks: str):
    with pytest.raises(PackagingError) as caught:
        load(files(shop=f"{line}\n{SHOP}"), *PACKED)
    assert f"no module {lacks!r} in the package:\n  shop.py:1: {line}\n" in str(caught.value)
    assert "to requirements.txt; --no-check" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "import os.path, shop, azure.functions",
        "from packed_module import anything",
        "import packed.extension",
        "if False:\n    import nowhere",
        "try:\n    import nowhere\nexcept ImportError: pass",
        "def later():\n    import nowhere",
    ],
)
def test_there_what_may_be_packed_passes(line: str):
    packed = [*PACKED, "packed_module.py", "packed/__init__.py", "packed/extension.cpython-312.so"]
    assert load(files(shop=f"{line}\n{SHOP}"), *packed)


@pytest.mark.parametrize(
    ("project", "where"),
    [
        ({}, "requirements.txt"),
        ({"pyproject.toml": "[project]\nname = 'a'"}, "[project] dependencies in pyproject.toml"),
        ({"pyproject.toml": "[project]", "requirements.txt": ""}, "requirements.txt"),
    ],
)
def test_the_mend_names_the_distribution_and_where_the_project_has_its_dependencies(
    tmp_path: Path, project: dict[str, str | bytes], where: str
):
    write(tmp_path, project)
    with pytest.raises(PackagingError) as caught:
        load(files(shop=f"import attr\n{SHOP}"), *PACKED, project=tmp_path)
    assert f"hint: add attrs to {where};" in str(caught.value)


def test_of_a_module_that_is_left_out_funcignore_is_named(tmp_path: Path):
    write(tmp_path, {"tests/helpers.py": ""})
    with pytest.raises(PackagingError, match=r"folder has 'tests', but .* \.funcignore says"):
        load(files(shop="import tests.helpers_of_shop"), *PACKED, project=tmp_path)


# --- the command, for the Python that runs it ---


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loading") / "project"


def build(project: Path, shop: str, *more: str) -> subprocess.CompletedProcess[str]:
    write(project, {"shop.py": shop, "function_app.py": FUNCTION_APP, "host.json": "{}"})
    cache = str(project.parent / "cache")
    return ostinato(project, "build", "azure", "--python", HERE, *more, XDG_CACHE_HOME=cache)


@pytest.mark.skipif(sys.platform != "linux", reason="packages are for Linux")
def test_an_app_sees_its_package_and_nothing_of_the_environment(project: Path):
    result = build(project, f"import packaging.version, pytest\n{SHOP}")
    assert result.returncode == 2
    assert "no module 'packaging' in the package:\n  shop.py:1: import packaging" in result.stderr
    assert "hint: add packaging to requirements.txt" in result.stderr
    assert not (project / "app.zip").exists()


def test_an_app_that_was_loaded_is_packed_and_nothing_of_the_check_is_left(project: Path):
    result = build(project, SHOP)
    assert result.returncode == 0, result.stderr
    assert "not tried" not in result.stderr
    checked = (project / "app.zip").read_bytes()
    assert build(project, SHOP, "--no-check").returncode == 0
    assert (project / "app.zip").read_bytes() == checked


def test_what_is_not_checked_is_packed_as_it_is(project: Path):
    result = build(project, "import packaging.version, pytest", "--no-check")
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(project / "app.zip") as archive:
        assert archive.read("shop.py") == b"import packaging.version, pytest"
    (project / "app.zip").unlink()
