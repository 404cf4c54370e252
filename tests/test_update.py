"""`asgi-quickstart update`, as it is typed, over a made history of the template: what it keeps, what it refuses."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import copier
import pytest
import yaml

from .made_history import History, Release, built, commit, edit, git
from .service import BIN, clean_environment, eventually

pytestmark = pytest.mark.slow

ANSWERS = ".copier-answers.yml"
OFF = "--telemetry=off"  # what 3.0.0 calls it
Write = Callable[..., Path]


@pytest.fixture
def written(history: History, tmp_path: Path) -> Write:
    """Writes a service with one of the releases, and commits it."""

    def write(version: str = "1.0.0", *flags: str, path: str = "orders") -> Path:
        folder = tmp_path / path
        git(tmp_path, "init", "--quiet")
        result = history[version]("new", folder, "--no-install", *flags, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        commit(tmp_path)
        return folder

    return write


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
    command = printed.partition("To go back:\n")[2].splitlines()[0].strip()
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


def test_dry_run_prints_the_diff_that_it_would_make_and_writes_nothing(history: History, written: Write) -> None:
    folder = written()
    edit(folder / "main.py", "to be read from top to bottom", "MINE")
    commit(folder)
    before = contents(folder)
    diff = updated(history["3.0.0"], folder, OFF, "--manager=pdm", "--dry-run")
    assert before == contents(folder) and "" == git(folder, "status", "--porcelain")
    subprocess.run(["git", "apply"], cwd=folder, input=diff, text=True, check=True, env=clean_environment())
    as_printed = contents(folder)
    git(folder, "checkout", "--quiet", ".")
    git(folder, "clean", "--quiet", "--force", "-d")
    updated(history["3.0.0"], folder, OFF, "--manager=pdm", status=1)
    assert as_printed == contents(folder)


def test_a_conflict_is_marked_named_and_known_to_git(history: History, written: Write) -> None:
    folder = written()
    edit(folder / "main.py", "to be read from top to bottom", "MINE")
    commit(folder)
    printed = updated(history["3.0.0"], folder, OFF, status=1)
    assert "conflict  main.py" in printed and "conflicts are marked in main.py" in printed
    text = (folder / "main.py").read_text()
    assert "<<<<<<<" in text and "MINE" in text and "its wiring, from top to bottom" in text
    assert "UU orders/main.py" in git(folder, "status", "--porcelain")
    assert "its wiring, to be read" in git(folder, "show", ":1:./main.py")
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
    edit(clone / "template/app/__init__.py", "Your room", "Your very own room")
    written_by = built(clone, "1.0.0", tmp_path / "built")  # before it is committed
    folder = tmp_path / "orders"
    assert written_by("new", folder, "--no-install", cwd=tmp_path).returncode == 0
    git(folder, "init", "--quiet")
    commit(folder)
    updated(written_by, folder, "--manager=pdm")
    git(folder, "reset", "--quiet", "--hard")
    refused(history["3.0.0"], folder, "no template that this asgi-quickstart, 3.0.0+", "knows", flags=(OFF,))
    commit(clone)
    edit(clone / "template/app/__init__.py", "very own room", "room indeed")
    commit(clone)
    updated(built(clone, "1.0.0", tmp_path / "newer"), folder)
    assert "Your room indeed" in (folder / "app/__init__.py").read_text()


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


def test_refuses_what_is_not_committed(history: History, written: Write) -> None:
    folder = written()
    (folder / "notes.txt").write_text("mine")
    refused(history["3.0.0"], folder, "not committed", "commit or stash")
    (folder / "notes.txt").unlink()
    (folder / "main.py").write_text("mine")
    refused(history["3.0.0"], folder, "not committed", flags=("--dry-run",))


def test_refuses_a_folder_without_git_or_without_a_service(history: History, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    history["1.0.0"]("new", folder, "--no-install", cwd=tmp_path)
    refused(history["3.0.0"], folder, "no git work tree", "git init")
    git(folder, "init", "--quiet")
    (folder / ANSWERS).unlink()
    commit(folder)
    refused(history["3.0.0"], folder, f"no {ANSWERS}")
    refused(history["3.0.0"], folder, "no folder", flags=("nowhere",), status=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_repository_of_another_owner_is_called_that(history: History, written: Write) -> None:
    folder = written()
    os.chown(folder.parent, 65534, 65534)
    os.chown(folder.parent / ".git", 65534, 65534)
    refused(history["3.0.0"], folder, "dubious ownership", "safe.directory", flags=(OFF,))
    trusted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    result = history["3.0.0"]("update", OFF, "--no-install", cwd=folder, **trusted)
    assert result.returncode == 0, result.stderr


def test_refuses_a_service_of_a_newer_version(history: History, written: Write) -> None:
    folder = written("3.0.0")
    refused(history["2.0.0"], folder, "written by asgi-quickstart 3.0.0", "newer than this one, 2.0.0", "upgrade")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("_commit", "0" * 40, ("_commit: 0000", "knows")),
        ("_commit", "1.0.0+" + "0" * 12, ("_commit: 1.0.0+0000", "knows")),
        ("_commit", "v1", ("_commit: v1", "knows")),
        ("_commit", None, ("_commit: it is missing",)),
        ("_commit", 3, ("_commit: 3 is no text",)),
        ("_src_path", None, ("_src_path: it is missing",)),
        ("server", "gnuicorn", ("server: 'gnuicorn' is not one of gunicorn",)),
        ("server", None, ("server: it is missing",)),
        ("server", ["uvicorn"], ("server: ['uvicorn'] is not one of",)),
        ("deploy", "compose", ("deploy: 'compose' is not a list with one of compose",)),
        ("deploy", ["compoes"], ("deploy: 'compoes' is not a list with one of compose",)),
        ("name", "two words", ("name: ", "a project name is letters")),
        ("name", 7, ("name: 7 is not a text",)),
        ("sever", "uvicorn", ("sever: there is no such option",)),
    ],
)
def test_an_answers_file_that_was_edited_badly_is_one_line_that_names_the_key(
    history: History, written: Write, key: str, value: object, words: tuple[str, ...]
) -> None:
    folder = written()
    recorded = yaml.safe_load((folder / ANSWERS).read_text())
    recorded = {name: given for name, given in (recorded | {key: value}).items() if given is not None}
    (folder / ANSWERS).write_text(yaml.safe_dump(recorded))
    commit(folder)
    refused(history["3.0.0"], folder, *words, flags=(OFF,))


@pytest.mark.parametrize("text", ["a: [", "", "- a\n", "\0"])
def test_an_answers_file_that_is_no_answers_file_is_one_line(history: History, written: Write, text: str) -> None:
    folder = written()
    (folder / ANSWERS).write_text(text)
    commit(folder)
    refused(history["3.0.0"], folder, ANSWERS)


def test_a_recorded_choice_that_is_no_longer_offered_is_named_with_its_flag(history: History, written: Write) -> None:
    refused(history["3.0.0"], written(), "telemetry: 'none' is not one of off, full", "--telemetry")


def test_refuses_what_could_not_be_undone(history: History, written: Write, tmp_path: Path) -> None:
    folder = written()
    os.mkfifo(folder / "serving/latter.py")
    refused(history["3.0.0"], folder, "serving/latter.py is in the way", flags=(OFF,))
    (folder / "serving/latter.py").unlink()
    git(folder, "rm", "--quiet", "--cached", "main.py")
    edit(folder / ".gitignore", ".venv/\n", ".venv/\nmain.py\n")
    git(folder, "commit", "--quiet", "--all", "--message", "ignored")
    refused(history["3.0.0"], folder, "main.py is ignored by git", "git add", flags=(OFF,))
    git(folder, "reset", "--quiet", "--hard", "HEAD~")
    shutil.rmtree(folder / "serving")
    (tmp_path / "shared").mkdir()
    (folder / "serving").symlink_to(tmp_path / "shared")
    commit(folder)
    refused(history["3.0.0"], folder, "serving is in the way", flags=(OFF,))


def test_refuses_what_git_would_not_do(history: History, written: Write) -> None:
    folder = written()
    lock = folder.parent / ".git/index.lock"
    lock.touch()
    refused(history["3.0.0"], folder, "index.lock is there", "remove it", flags=(OFF,))
    lock.unlink()
    for mark in ("skip-worktree", "assume-unchanged"):
        git(folder, "update-index", f"--{mark}", "main.py")
        refused(history["3.0.0"], folder, "main.py is marked", f"--no-{mark}", flags=(OFF,))
        git(folder, "update-index", f"--no-{mark}", "main.py")
    git(folder.parent, "sparse-checkout", "set", "--no-cone", "/*", "!/orders/serving/")
    refused(
        history["3.0.0"], folder, "serving/", "is marked skip-worktree", "git sparse-checkout disable", flags=(OFF,)
    )


def test_the_way_back_is_said_before_anything_is_written(history: History, written: Write, tmp_path: Path) -> None:
    folder = written()
    (folder / ".gitattributes").write_text("main.py filter=broken\n")
    git(folder, "config", "filter.broken.required", "true")
    git(folder, "config", "filter.broken.clean", "cat")
    commit(folder)
    before = contents(folder)
    printed = updated(history["3.0.0"], folder, OFF, status=1)
    assert "main.py" in printed and "it is not written as a whole: go back" in printed
    git(folder, "config", "filter.broken.smudge", "cat")
    go_back(printed, folder)
    assert before == contents(folder)
    assert "" == git(folder, "status", "--porcelain")


@pytest.mark.parametrize("said_by", ["config", "attributes"])
def test_other_line_endings_in_the_work_tree_are_no_edits(history: History, written: Write, said_by: str) -> None:
    folder = written()
    if said_by == "attributes":
        (folder / ".gitattributes").write_text("* text eol=crlf\n")
    else:
        git(folder, "config", "core.autocrlf", "true")
    edit(folder / "main.py", "import", "# mine\nimport")
    commit(folder)
    git(folder, "rm", "--quiet", "-r", "--cached", ".")
    git(folder, "reset", "--quiet", "--hard")
    assert b"\r\n" in contents(folder)["Makefile"]
    printed = updated(history["3.0.0"], folder, OFF)
    after = contents(folder)
    assert "conflict" not in printed and "" == git(folder, "diff", "--name-only")
    assert b"Run all tests\r\n" in after["Makefile"] and b"# mine\r\n" in after["main.py"]
    assert "\r" not in git(folder, "show", ":./Makefile")
    assert [] == [name for name, content in after.items() if b"\n" in content.replace(b"\r\n", b"")]


def test_a_file_in_another_encoding_is_named_with_its_line(history: History, written: Write) -> None:
    folder = written()
    with (folder / "pyproject.toml").open("ab") as file:
        file.write("# größer\n".encode("latin-1"))
    commit(folder)
    refused(history["2.0.0"], folder, "pyproject.toml: line", "is not UTF-8")
    refused(history["1.0.0"], folder, "pyproject.toml: line", "is not UTF-8", flags=("--manager=pipenv",))


def test_refuses_a_wrong_choice_and_a_manager_that_is_not_there(history: History, written: Write) -> None:
    folder = written()
    refused(history["1.0.0"], folder, "poerty", "did you mean poetry", flags=("--manager=poerty",), status=2)
    before = contents(folder)
    result = history["1.0.0"]("update", "--manager=pdm", cwd=folder, PATH="/usr/bin:/bin")
    assert (1, 1) == (result.returncode, result.stderr.count("\n")) and "pdm is not installed" in result.stderr
    assert before == contents(folder)


def test_a_manager_that_fails_leaves_the_environment_as_it_was(
    history: History, written: Write, tmp_path: Path
) -> None:
    folder = written()
    (folder / ".venv").mkdir()
    (folder / ".venv/pyvenv.cfg").write_text("mine")
    program = tmp_path / "bin/pdm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nmkdir -p .venv\necho no luck\nexit 1\n")
    program.chmod(0o755)
    result = history["1.0.0"]("update", "--manager=pdm", cwd=folder, PATH=f"{program.parent}:/usr/bin:/bin")
    assert result.returncode == 1 and "pdm failed" in result.stderr and "no luck" in result.stderr
    assert "To go back:" in result.stdout
    assert ["pyvenv.cfg"] == os.listdir(folder / ".venv") and not (folder / ".venv.before").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_and_a_second_one_does_not_stop_that(
    history: History, written: Write, tmp_path: Path, number: signal.Signals
) -> None:
    folder = written()
    many = folder / ".venv/many"
    many.mkdir(parents=True)
    (folder / ".venv/pyvenv.cfg").write_text("mine")
    program = tmp_path / "bin/pdm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\ncp -r .venv.before .venv\necho > ../at_work\nexec sleep 60\n")
    program.chmod(0o755)
    for name in range(3_000):  # it takes a while to remove them
        (many / str(name)).touch()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = clean_environment() | {
        "PYTHONPATH": str(history["1.0.0"].folder),
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "TMPDIR": str(temporary),
    }
    with subprocess.Popen(
        [BIN / "python", "-m", "asgi_quickstart", "update", "--manager=pdm"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:
        assert process.stderr
        eventually(lambda: (tmp_path / "at_work").exists(), 60)
        process.send_signal(number)
        eventually(lambda: len(os.listdir(folder / ".venv/many")) < 3_000)
        process.send_signal(number)
        errors = process.stderr.read()
    assert (128 + number, "asgi-quickstart: stopped") == (process.returncode, errors.strip())
    assert ["many", "pyvenv.cfg"] == sorted(os.listdir(folder / ".venv")) and not (folder / ".venv.before").exists()
    assert 3_000 == len(os.listdir(many))
    assert [] == list(temporary.iterdir())


def test_refuses_the_environment_that_an_earlier_update_has_put_aside(history: History, written: Write) -> None:
    folder = written()
    (folder / ".venv.before").mkdir()
    (folder / ".venv.before/pyvenv.cfg").touch()
    assert "" == git(folder, "status", "--porcelain")
    refused(history["1.0.0"], folder, ".venv.before is left", "mv .venv.before .venv", flags=("--manager=pdm",))
