"""`asgi-quickstart update`, as it is typed, over a made history of the template: what it keeps, what it refuses."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import copier
import pytest
import yaml

from .made_history import History, Release, built, commit, edit, git
from .service import BIN, clean_environment

pytestmark = pytest.mark.slow

ANSWERS = ".copier-answers.yml"
OFF = "--telemetry=off"  # what 3.0.0 calls it
LOCK = '[[package]]\nname = "six"\nversion = "1"\n'
Write = Callable[..., Path]


def updated(release: Release, folder: Path, *flags: str, status: int = 0) -> str:
    """Update, see the exit status, and return what was printed."""
    result = release("update", *flags, "--no-install", cwd=folder)
    assert result.returncode == status, result.stdout + result.stderr
    assert result.stderr.count("\n") == (1 if status else 0), result.stderr
    return result.stdout + result.stderr


def refused(release: Release, folder: Path, *words: str, flags: tuple[str, ...] = (), status: int = 1) -> None:
    """It ends with one line that has the words, and nothing is changed."""
    before = contents(folder)
    line = updated(release, folder, *flags, status=status)
    assert line.startswith("asgi-quickstart: ") and all(word in line for word in words), line
    assert before == contents(folder)


def go_back(printed: str, folder: Path) -> None:
    """Do what was printed."""
    command = printed.partition("go back:\n")[2].splitlines()[0].strip()
    subprocess.run(command, shell=True, cwd=folder, check=True, env=clean_environment())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by name; git's own not."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def expected(release: Release, folder: Path, *flags: str) -> dict[str, bytes]:
    """What the release would write anew."""
    place = folder / "anew" / "orders"
    assert release("new", place, "--no-install", *flags, cwd=folder).returncode == 0
    files = contents(place)
    shutil.rmtree(place.parent)
    return files


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_without_edits_it_is_what_the_newest_release_writes(
    history: History, written: Write, tmp_path: Path, version: str
) -> None:
    folder = written(version)
    updated(history["3.0.0"], folder, OFF)
    assert expected(history["3.0.0"], tmp_path, OFF) == contents(folder)
    commit(folder)
    assert "nothing to do" in updated(history["3.0.0"], folder)
    rehearsed = history["3.0.0"]("update", "--dry-run", cwd=folder)
    assert (rehearsed.returncode, rehearsed.stdout) == (0, "") and "nothing to do" in rehearsed.stderr


def test_says_what_changed_and_records_version_and_source(history: History, written: Write) -> None:
    folder = written()
    printed = updated(history["3.0.0"], folder, OFF)
    for line in (
        "telemetry none -> off",
        "changed   main.py",
        "new       serving/latter.py",
        "removed   serving/passing.py",
    ):
        assert line in printed
    recorded = yaml.safe_load((folder / ANSWERS).read_text())
    assert recorded["_src_path"] == "asgi-quickstart" and recorded["_commit"].startswith("3.0.0+")
    assert recorded["telemetry"] == "off" and recorded["greeting"] == "none"


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python is such a one")
def test_a_python_without_filters_for_archives_updates_too(history: History, written: Write, tmp_path: Path) -> None:
    """As Debian 12's."""
    folder = written()
    (tmp_path / ".git/sitecustomize.py").write_text(OLD_TARFILE)
    path = f"{history['3.0.0'].folder}:{tmp_path / '.git'}"
    updated = history["3.0.0"]("update", OFF, "--no-install", cwd=folder, PYTHONPATH=path)
    assert updated.returncode == 0, updated.stderr


OLD_TARFILE = """
import tarfile
del tarfile.data_filter, tarfile.TarFile.extraction_filter
extract = tarfile.TarFile.extractall
tarfile.TarFile.extractall = lambda self, path: extract(self, path)
"""


def test_the_way_back_that_it_prints_leads_back(history: History, written: Write, tmp_path: Path) -> None:
    folder = written()
    edit(folder / "main.py", "to be read from top to bottom", "MINE")
    commit(folder)
    before = contents(folder)
    printed = updated(history["3.0.0"], folder, OFF, "--manager=poetry", "--server=granian", status=1)
    assert before != contents(folder)
    go_back(printed, folder)
    assert before == contents(folder)
    assert "" == git(folder, "status", "--porcelain")


def test_dry_run_prints_the_diff_alone_and_what_would_happen_on_standard_error(
    history: History, written: Write
) -> None:
    folder = written()
    edit(folder / "main.py", "to be read from top to bottom", "MINE")
    commit(folder)
    before = contents(folder)
    rehearsed = history["3.0.0"]("update", OFF, "--manager=pdm", "--dry-run", cwd=folder)
    assert rehearsed.returncode == 0
    diff = rehearsed.stdout
    assert before == contents(folder) and "" == git(folder, "status", "--porcelain")
    subprocess.run(["git", "apply"], cwd=folder, input=diff, text=True, check=True, env=clean_environment())
    as_printed = contents(folder)
    git(folder, "checkout", "--quiet", ".")
    git(folder, "clean", "--quiet", "--force", "-d")
    printed = updated(history["3.0.0"], folder, OFF, "--manager=pdm", status=1)
    assert as_printed == contents(folder)
    assert printed.startswith(rehearsed.stderr) and "  conflict  main.py\n" in rehearsed.stderr


def test_a_conflict_is_marked_named_and_known_to_git(history: History, written: Write) -> None:
    folder = written()
    edit(folder / "main.py", "to be read from top to bottom", "MINE")
    commit(folder)
    printed = updated(history["3.0.0"], folder, OFF, status=1)
    assert "conflict  main.py" in printed and "conflicts are marked in main.py" in printed
    text = (folder / "main.py").read_text()
    assert "<<<<<<<" in text and "MINE" in text and "wiring, from top to bottom" in text
    assert "UU orders/main.py" in git(folder, "status", "--porcelain")
    assert "wiring, to be read" in git(folder, "show", ":1:./main.py")
    refused(history["3.0.0"], folder, "not committed")


def test_edits_follow_a_file_that_was_renamed(history: History, written: Write) -> None:
    folder = written()
    edit(folder / "serving/former.py", "FORMER_10 = 10", "FORMER_10 = 'MINE'")
    commit(folder)
    updated(history["2.0.0"], folder)
    text = (folder / "serving/latter.py").read_text()
    assert "'MINE'" in text and "FORMER_3 = 33" in text and not (folder / "serving/former.py").exists()


def test_a_file_that_was_edited_stays_when_the_template_no_longer_has_it(history: History, written: Write) -> None:
    folder = written("2.0.0")
    edit(folder / "serving/passing.py", "PASSING_10 = 10", "PASSING_10 = 'MINE'")
    commit(folder)
    assert "kept      serving/passing.py" in updated(history["3.0.0"], folder, OFF)
    assert "'MINE'" in (folder / "serving/passing.py").read_text()
    assert "" == git(folder, "ls-files", "--unmerged")
    git(folder, "commit", "--quiet", "--message", "as it was told, with nothing added")
    assert "nothing to do" in updated(history["3.0.0"], folder)


def test_a_file_that_was_deleted_does_not_come_back(history: History, written: Write) -> None:
    folder = written()
    gone = ["app/loans.py", "tests/test_loans.py", "serving/former.py", "README.md"]
    for name in gone:
        (folder / name).unlink()
    commit(folder)
    assert "left out  serving/latter.py" in updated(history["2.0.0"], folder)
    assert not {*gone, "serving/latter.py"} & set(contents(folder))
    commit(folder)
    updated(history["3.0.0"], folder, OFF)
    assert not set(gone) & set(contents(folder))


def test_a_link_in_the_place_of_a_file_stays(history: History, written: Write) -> None:
    folder = written()
    (folder / "docs").mkdir()
    moved = (folder / "README.md").rename(folder / "docs/README.md")
    before = moved.read_bytes()
    (folder / "README.md").symlink_to("docs/README.md")
    (folder / "serving/added.py").symlink_to("../main.py")  # where 2.0.0 has a new file
    commit(folder)
    printed = updated(history["2.0.0"], folder)
    assert "left out  README.md: you have a link there" in printed and "left out  serving/added.py" in printed
    assert (folder / "README.md").is_symlink() and before == moved.read_bytes()
    assert (folder / "serving/added.py").is_symlink()
    assert "~" not in git(folder, "diff", "--cached", "--name-only")


def test_a_file_of_the_owner_where_a_new_one_comes_is_a_conflict(history: History, written: Write) -> None:
    folder = written()
    edit(folder / "serving/added.py", "", '"""Mine."""\n')
    commit(folder)
    assert "conflict  serving/added.py" in updated(history["2.0.0"], folder, status=1)
    text = (folder / "serving/added.py").read_text()
    assert '"""Mine."""' in text and "ADDED_19" in text


def test_an_option_that_is_chosen_later_brings_its_file(history: History, written: Write, tmp_path: Path) -> None:
    folder = written("2.0.0")
    updated(history["2.0.0"], folder, "--greeting=warm")
    assert "warm" in (folder / "app/greeting.py").read_text()
    assert expected(history["2.0.0"], tmp_path, "--greeting=warm") == contents(folder)


def test_several_choices_may_be_changed_at_once(history: History, written: Write, tmp_path: Path) -> None:
    folder = written("2.0.0", "--manager=pipenv", "--deploy=compose")
    flags = ("--manager=pdm", "--server=hypercorn", "--deploy=systemd,compose", "--telemetry=full", "--name=sales")
    updated(history["3.0.0"], folder, *flags)
    assert expected(history["3.0.0"], tmp_path, *flags) == contents(folder)


def test_what_the_owner_needs_moves_to_a_pipfile_and_back(history: History, written: Write) -> None:
    folder = written()
    more = ["six>=1.16,<2", "httpx[http2] (>=0.28,<1)", 'tomli>=2.0; python_version < "3.11"']
    anchor = "    # Yours go below.\n"
    project = folder / "pyproject.toml"
    edit(project, anchor, anchor + "".join(f"    {line!r},\n" for line in more))
    commit(folder)
    updated(history["1.0.0"], folder, "--manager=pipenv")
    environment = clean_environment()
    command: list[str | Path] = [BIN / "python", "-m", "pytest", "-q", "tests/test_pipfile.py"]
    subprocess.run(command, cwd=folder, check=True, env=environment, capture_output=True)
    edit(folder / "Pipfile", "[packages]\n", '[packages]\n"zope.interface" = "*"\n')
    assert subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode == 1
    commit(folder)
    assert "kept      Pipfile" in updated(history["1.0.0"], folder, "--manager=uv")
    git(folder, "reset", "--quiet", "--hard")
    edit(project, anchor, anchor + '    "zope.interface",\n')
    commit(folder)
    assert "removed   Pipfile" in updated(history["1.0.0"], folder, "--manager=uv")
    assert all(line in project.read_text() for line in more)


@pytest.mark.parametrize("left", ["none", "compose", "kubernetes", "systemd"])
def test_secrets_stay_ignored_when_their_deployment_goes(history: History, written: Write, left: str) -> None:
    folder = written("1.0.0", "--deploy=compose,kubernetes")
    secrets = [folder / "secrets/database_url", folder / "deploy/kubernetes/overlays/production/secrets/database_url"]
    for secret in secrets:
        secret.parent.mkdir(exist_ok=True)
        secret.write_text("s3cr3t")
    updated(history["1.0.0"], folder, f"--deploy={left}")
    commit(folder)
    assert all(secret.exists() for secret in secrets)
    assert "database_url" not in git(folder, "ls-files")


def test_works_in_a_folder_of_a_larger_repository(history: History, written: Write, tmp_path: Path) -> None:
    folder = written(path="services/orders")
    (tmp_path / "elsewhere").write_text("not committed")
    edit(folder / "README.md", "Say here", "Said here")
    git(folder, "commit", "--all", "--quiet", "--message", "mine")
    updated(history["3.0.0"], folder, OFF)
    assert "Said here" in (folder / "README.md").read_text() and (folder / "serving/latter.py").exists()
    assert "not committed" == (tmp_path / "elsewhere").read_text()
    assert all(
        line[3:].startswith(("services/orders/", "elsewhere"))
        for line in git(tmp_path, "status", "--porcelain").splitlines()
    )


def test_takes_the_service_of_copier_copy(history: History, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    data = {"name": "orders", "telemetry": "none"}
    copier.run_copy(str(history.repository), folder, vcs_ref="v1.0.0", data=data, defaults=True, quiet=True)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    recorded = yaml.safe_load((folder / ANSWERS).read_text())
    assert recorded["_src_path"] == str(history.repository)
    assert recorded["_commit"] == git(history.repository, "rev-parse", "v1.0.0").strip()
    updated(history["3.0.0"], folder, OFF)
    assert expected(history["3.0.0"], tmp_path, OFF) == contents(folder)


def test_takes_the_service_of_a_clone_between_two_releases(history: History, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(history.repository), str(clone))
    git(clone, "checkout", "--quiet", "v1.0.0")
    edit(clone / "template/app/__init__.py", "Your code", "Your very own code")
    written_by = built(clone, "1.0.0", tmp_path / "built")  # before it is committed
    folder = tmp_path / "orders"
    assert written_by("new", folder, "--no-install", cwd=tmp_path).returncode == 0
    git(folder, "init", "--quiet")
    commit(folder)
    updated(written_by, folder, "--manager=pdm")
    git(folder, "reset", "--quiet", "--hard")
    refused(history["3.0.0"], folder, "not a template that this asgi-quickstart, 3.0.0+", "knows", flags=(OFF,))
    commit(clone)
    edit(clone / "template/app/__init__.py", "very own code", "code indeed")
    commit(clone)
    updated(built(clone, "1.0.0", tmp_path / "newer"), folder)
    assert "Your code indeed" in (folder / "app/__init__.py").read_text()


def test_needs_no_network(history: History, written: Write) -> None:
    folder = written()
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no network namespace of our own")
    command: list[str | Path] = [*alone, BIN / "python", "-m", "asgi_quickstart", "update", OFF, "--no-install"]
    environment = clean_environment() | {"PYTHONPATH": str(history["3.0.0"].folder)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    assert (folder / "serving/latter.py").exists()


def test_is_not_led_astray_by_the_users_git(history: History, written: Write, tmp_path: Path) -> None:
    folder = written()
    config, hook = tmp_path / "gitconfig", tmp_path / "hooks/post-checkout"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    config.write_text(
        f"[core]\n\thooksPath = {hook.parent}\n[commit]\n\tgpgSign = true\n[diff]\n\tnoprefix = true\n"
        "[merge]\n\tconflictStyle = diff3\n[color]\n\tui = always\n[status]\n\tshort = true\n"
    )
    environment = {"GIT_CONFIG_GLOBAL": str(config), "GIT_DIR": str(tmp_path / "nowhere")}
    result = history["3.0.0"]("update", OFF, "--no-install", cwd=folder, **environment)
    assert result.returncode == 0, result.stderr
    assert b"\r" not in b"".join(contents(folder).values())


def test_the_users_attributes_do_not_change_the_merge(history: History, written: Write, tmp_path: Path) -> None:
    folder = written()
    edit(folder / "main.py", "import", "# mine\nimport")
    commit(folder)
    attributes = tmp_path / ".git/config.d/git/attributes"  # where nobody looks for changes
    attributes.parent.mkdir(parents=True)
    attributes.write_text("* -merge\n")
    environment = {"XDG_CONFIG_HOME": str(attributes.parents[1])}
    result = history["3.0.0"]("update", OFF, "--no-install", cwd=folder, **environment)
    assert result.returncode == 0, result.stderr
    text = (folder / "main.py").read_text()
    assert "# mine\nimport" in text and "wiring, from top to bottom" in text
