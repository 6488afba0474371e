"""Dependencies are the function app's, whatever Python and pip build; errors name their place."""

from __future__ import annotations

import ensurepip
import hashlib
import zipfile
from pathlib import Path

import pytest

from ostinato_azure.packaging.dependencies import NEWEST_PIP, Installed, install
from ostinato_azure.packaging.errors import PackagingError
from ostinato_azure.packaging.requirements import requirements
from ostinato_azure.packaging.target import Target
from tests.azure.projects import SHOP, ostinato, write

OTHER = "3.12"
"""A Python that none of the tests runs on."""

BUNDLED = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
"""The pip that this Python brings along, which is what a new environment has."""


def wheel(
    folder: Path, name: str, *requires: str, version: str = "1.0", python: str = ">=3"
) -> Path:
    """Make a wheel of one empty module, for some Pythons; return it."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Python: {python}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, content)
    return made


def installed(folder: Path, *lines: str) -> Installed:
    """Install for the other Python, from wheels in the folder."""
    given = ["--no-index", f"--find-links {folder / 'wheels'}", *lines]
    return install(given, Target(python=OTHER), cache=folder / "cache")


# --- the resolution is the target's ---


@pytest.mark.parametrize("pip", [None, *BUNDLED], ids=lambda pip: pip.stem if pip else "own")
@pytest.mark.parametrize("line", ["asked", "asked>=2"])
def test_what_a_package_requires_of_python_is_judged_by_the_target_whichever_pip_does_it(
    line: str, pip: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wheel(tmp_path / "wheels", "asked")
    wheel(tmp_path / "wheels", "asked", version="2.0", python=f"=={OTHER}.*")
    wheel(tmp_path / "wheels", "asked", version="3.0", python=f"!={OTHER}.*")
    if pip:
        monkeypatch.setenv("PYTHONPATH", str(pip))
    assert installed(tmp_path, line).versions() == ["asked==2.0"]


def test_a_version_that_only_the_building_python_would_need_does_not_bind(tmp_path: Path):
    wheels = tmp_path / "wheels"
    needed = f"below>=2; python_version == '{OTHER}'"
    wheel(wheels, "asked", f"below<2; python_version != '{OTHER}'", needed)
    wheel(wheels, "below")
    wheel(wheels, "below", version="2.0")
    assert installed(tmp_path, "asked").versions() == ["asked==1.0", "below==2.0"]


@pytest.mark.parametrize(
    "marker",
    [
        f"python_version != '{OTHER}'",
        f"python_full_version != '{OTHER}.0'",
        "platform_release != ''",  # empty for the target, which nobody knows; never so here
    ],
)
def test_what_only_the_building_machine_would_need_is_not_packed(marker: str, tmp_path: Path):
    wheel(tmp_path / "wheels", "asked", f"here; {marker}")
    wheel(tmp_path / "wheels", "here")
    assert installed(tmp_path, "asked").versions() == ["asked==1.0"]


def test_a_lock_of_what_the_target_needs_is_enough(tmp_path: Path):
    asked = wheel(tmp_path / "wheels", "asked", f"here; python_version != '{OTHER}'")
    wheel(tmp_path / "wheels", "here")
    digest = hashlib.sha256(asked.read_bytes()).hexdigest()
    found = installed(tmp_path, f"asked==1.0 --hash=sha256:{digest}")
    assert found.versions() == ["asked==1.0"]


def test_a_constraint_for_another_python_does_not_bind(tmp_path: Path):
    wheel(tmp_path / "wheels", "asked")
    wheel(tmp_path / "wheels", "asked", version="2.0")
    write(tmp_path, {"constraints.txt": f"asked<2; python_version != '{OTHER}'\n"})
    found = installed(tmp_path, f"-c {tmp_path / 'constraints.txt'}", "asked")
    assert found.versions() == ["asked==2.0"]


@pytest.mark.parametrize(
    "modules",
    [
        {},
        {
            "_internal/cli/req_command.py": "RequirementCommand = None",
            "_vendor/packaging/version.py": "Version = str",
            "_vendor/packaging/markers.py": (
                "class Marker:\n"
                "    def __init__(self, text): pass\n"
                "    def evaluate(self): return False\n"
            ),
        },
    ],
    ids=["with other modules", "that asks something else"],
)
def test_a_pip_that_cannot_be_told_of_the_target_is_named_with_one_that_can(
    modules: dict[str, str | bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, {"pip/__init__.py": "__version__ = '99.1'"})
    write(tmp_path / "pip", modules)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PackagingError, match=r"\n  ERROR: pip 99\.1 in ") as failed:
        installed(tmp_path, "asked")
    assert str(failed.value).endswith(f"python -m pip install 'pip<={NEWEST_PIP}'")


def test_modules_of_the_project_are_not_taken_for_those_of_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wheel(tmp_path / "wheels", "asked")
    write(tmp_path, {f"{name}.py": "raise RuntimeError('mine')" for name in ("json", "pip")})
    monkeypatch.chdir(tmp_path)
    assert installed(tmp_path, "asked").versions() == ["asked==1.0"]


# --- errors are at the user's own lines ---


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.txt": "six\n\n# azure\nazure functions\n"}, "requirements.txt:4: 'azure"),
        ({"requirements.txt": "\\\nsix \\\n == 1\nazure ==\n"}, "requirements.txt:4: 'azure =="),
        ({"requirements.txt": "# a \\\nsix=1"}, "requirements.txt:2: 'six=1'"),
        ({"requirements.txt": "# a \\\n\nazure \\\n  functions"}, "requirements.txt:3: 'azure f"),
        ({"requirements.txt": "azure: 2 --config-settings=a=b"}, "requirements.txt:1: 'azure: 2"),
        (
            {"requirements.txt": "-r more/base.txt\n", "more/base.txt": "six\nsix=1"},
            "more/base.txt:2: 'six=1'",
        ),
        ({"requirements.txt": "six\n-e ."}, "requirements.txt:2: '-e .'"),
        (
            {"pyproject.toml": "[project]\ndependencies = [\n  'six',\n  'six=1',\n]"},
            "pyproject.toml:4: 'six=1'",
        ),
        (
            {"pyproject.toml": '[project]\ndependencies = ["six=1"]\n[a]\nb = "six=1"'},
            "pyproject.toml: 'six=1'",
        ),
    ],
)
def test_a_bad_line_is_told_at_its_place(tmp_path: Path, files: dict[str, str | bytes], said: str):
    write(tmp_path, files)
    with pytest.raises(PackagingError) as failed:
        requirements(tmp_path, Target(python=OTHER))
    assert str(failed.value).startswith(said)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://example.org/simple",
        "six --config-settings=a=b",
        "six==${VERSION}",
        "file:six-1.0-py3-none-any.whl",
        "wheels/six-1.0-py3-none-any.whl",
        "https://example.org/six-1.0-py3-none-any.whl",
        "git+https://example.org/six.git@v1",
    ],
)
def test_what_only_pip_can_read_is_left_to_it_with_its_place(tmp_path: Path, line: str):
    write(tmp_path, {"requirements.txt": f"\n{line}"})
    first = requirements(tmp_path, Target(python=OTHER))[0]
    assert (first, first.place) == (line, "requirements.txt:2")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--nope x", "Invalid requirement: --nope x (from requirements.txt:3)"),
        ("asked==1.0 --hash=sha256:" + 64 * "0", "(from requirements.txt:3)"),
        ("six >= 1 / 2", "(from requirements.txt:3)"),
    ],
)
def test_what_pip_refuses_is_told_at_the_users_line_and_not_at_ours(
    line: str, said: str, tmp_path: Path
):
    wheel(tmp_path / "wheels", "asked")
    write(tmp_path, {"requirements.txt": f"--no-index\n--find-links wheels\n{line}\n"})
    lines = requirements(tmp_path, Target(python=OTHER))
    with pytest.raises(PackagingError) as failed:
        install(lines, Target(python=OTHER), cache=tmp_path / "cache")
    assert said in str(failed.value)
    assert "cache" not in str(failed.value)


def test_what_ostinato_needs_itself_is_told_as_its_own(tmp_path: Path):
    write(tmp_path, {"requirements.txt": "--no-index\n--find-links wheels\nbelow<2\n"})
    wheel(tmp_path / "wheels", "below")
    lines = requirements(tmp_path, Target(python=OTHER))
    own = next(line for line in lines if line.startswith("azure-functions"))
    wheel(tmp_path / "wheels", "azure_functions", "below>=2", version="99.0")
    with pytest.raises(PackagingError, match=rf"Cannot install (.* and )?Ostinato's own {own}"):
        install([*lines[:3], own], Target(python=OTHER), cache=tmp_path / "cache")


def test_a_bad_line_is_told_by_the_command_in_one(tmp_path: Path):
    write(tmp_path, {"shop.py": SHOP, "requirements.txt": "azure functions\n"})
    result = ostinato(tmp_path, "build", "azure", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert result.returncode == 2
    assert "requirements.txt:1: 'azure functions' is no requirement: " in result.stderr
    assert "cache" not in result.stderr


def test_a_package_into_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    write(tmp_path, {"shop.py": SHOP, "requirements.txt": "--no-index\nnowhere\n"})
    output = tmp_path / "dist" / "app.zip"
    result = ostinato(tmp_path, "build", "azure", "-o", str(output))
    assert result.returncode == 2
    told = f"{output} cannot be written: there is no folder {output.parent}"
    assert told in result.stderr
    assert "installing" not in result.stderr
    assert not output.parent.exists()
