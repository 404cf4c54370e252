"""`asgi-quickstart update`: what it refuses, in one line, and what it does when it is broken off."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from .made_history import History, commit, edit, git
from .service import BIN, clean_environment, eventually
from .test_update import ANSWERS, LOCK, OFF, Write, contents, go_back, refused, updated

pytestmark = pytest.mark.slow


def test_refuses_what_is_not_committed(history: History, written: Write) -> None:
    folder = written()
    (folder / "notes.txt").write_text("mine")
    refused(history["3.0.0"], folder, "not committed (orders/notes.txt)", "commit or stash")
    git(folder, "config", "status.showUntrackedFiles", "no")
    refused(history["3.0.0"], folder, "not committed", flags=(OFF,))
    (folder / "notes.txt").unlink()
    (folder / "main.py").write_text("mine")
    refused(history["3.0.0"], folder, "not committed", flags=("--dry-run",))


def test_refuses_a_folder_without_git_or_without_a_service(history: History, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    history["1.0.0"]("new", folder, "--no-install", cwd=tmp_path)
    refused(history["3.0.0"], folder, "not in a git work tree", "git init")
    git(folder, "init", "--quiet")
    (folder / ANSWERS).unlink()
    commit(folder)
    refused(history["3.0.0"], folder, f"no {ANSWERS}")
    refused(history["3.0.0"], folder, "nowhere is not a folder", flags=("nowhere",), status=2)
    shutil.rmtree(folder / ".git")
    (folder / ".git").write_text("gitdir: /nowhere/.git/worktrees/orders\n")
    refused(history["3.0.0"], folder, "not a git repository: /nowhere/.git/worktrees/orders")


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
        ("_commit", 3, ("_commit: 3 is not text",)),
        ("_src_path", None, ("_src_path: it is missing",)),
        ("server", "gnuicorn", ("server: 'gnuicorn' is not one of gunicorn",)),
        ("server", None, ("server: it is missing",)),
        ("server", ["uvicorn"], ("server: ['uvicorn'] is not one of",)),
        ("deploy", "compose", ("deploy: 'compose' is not a list with one of compose",)),
        ("deploy", ["compoes"], ("deploy: 'compoes' is not a list with one of compose",)),
        ("name", "two words", ("name: ", "a project name is letters")),
        ("name", 7, ("name: 7 is not text",)),
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


@pytest.mark.parametrize("text", ["a: [", "", "- a\n", "\0", '"a": !!timestamp x', "a: !!bool x", "a: !!int ''"])
def test_an_answers_file_that_is_no_answers_file_is_one_line(history: History, written: Write, text: str) -> None:
    folder = written()
    (folder / ANSWERS).write_text(text)
    commit(folder)
    refused(history["3.0.0"], folder, ANSWERS)


def test_an_answers_file_that_is_a_link_is_refused_by_name(history: History, written: Write) -> None:
    folder = written()
    (folder / ANSWERS).rename(folder / "answers.yml")
    (folder / ANSWERS).symlink_to("answers.yml")
    commit(folder)
    refused(history["3.0.0"], folder, f"{ANSWERS} is a link", "commit", flags=(OFF,))


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
    git(folder, "mv", "serving", "served")
    (folder / "serving").symlink_to("served")
    commit(folder)
    refused(history["3.0.0"], folder, "serving is in the way", flags=(OFF,))
    git(folder, "reset", "--quiet", "--hard", "HEAD~")
    shutil.rmtree(folder / "serving")
    (tmp_path / "shared").mkdir()
    (folder / "serving").symlink_to(tmp_path / "shared")
    commit(folder)
    refused(history["3.0.0"], folder, "serving is in the way", flags=(OFF,))


@pytest.mark.parametrize("kind", ["submodule", "ignored"])
def test_refuses_another_repository_in_the_way(history: History, written: Write, tmp_path: Path, kind: str) -> None:
    folder = written()
    other = folder / "channels"
    other.mkdir()
    git(other, "init", "--quiet")
    commit(other)
    if kind == "ignored":
        edit(folder / ".gitignore", ".venv/\n", ".venv/\nchannels\n")
    commit(folder)
    assert ("160000" in git(folder, "ls-files", "--stage")) == (kind == "submodule")
    words = ("channels is in the way: another repository is there",)
    refused(history["1.0.0"], folder, *words, flags=("--realtime=full",))
    shutil.rmtree(other / ".git")  # as after a clone without submodules
    if kind == "submodule":
        assert "" == git(folder, "status", "--porcelain")
        refused(history["1.0.0"], folder, *words, flags=("--realtime=full",))
    else:
        updated(history["1.0.0"], folder, "--realtime=full")


def test_refuses_what_git_would_not_do(history: History, written: Write) -> None:
    folder = written()
    lock = folder.parent / ".git/index.lock"
    lock.touch()
    refused(history["3.0.0"], folder, "index.lock exists", "remove it", flags=(OFF,))
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
    assert "main.py" in printed and "the update is incomplete: go back" in printed
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
    for manager in ("pipenv", "poetry"):
        refused(history["1.0.0"], folder, "pyproject.toml: line", "is not UTF-8", flags=(f"--manager={manager}",))
    git(folder, "reset", "--quiet", "--hard", "HEAD~")
    with (folder / "pyproject.toml").open("a") as file:
        file.write("[")
    commit(folder)
    refused(history["1.0.0"], folder, "pyproject.toml cannot be read", flags=("--manager=poetry",))


def test_a_path_that_is_not_utf_8_is_a_path(history: History, written: Write, tmp_path: Path) -> None:
    folder = written().rename(os.fsdecode(bytes(tmp_path) + b"/gr\xf6sse"))
    commit(folder)
    result = history["1.0.0"]("update", "--server=uvicorn", "--dry-run", cwd=folder)
    assert result.returncode == 0 and "server gunicorn -> uvicorn" in result.stderr, result.stderr


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
    (folder / "uv.lock").write_text(LOCK)
    commit(folder)
    before = contents(folder)
    (folder / ".venv").mkdir()
    (folder / ".venv/pyvenv.cfg").write_text("mine")
    program = tmp_path / "bin/pdm"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = lock ] && echo > pdm.lock && exit\nmkdir .venv\necho no luck\nexit 1\n')
    program.chmod(0o755)
    result = history["1.0.0"]("update", "--manager=pdm", cwd=folder, PATH=f"{program.parent}:/usr/bin:/bin")
    assert result.returncode == 1 and "pdm failed" in result.stderr and "no luck" in result.stderr
    steps = "restore --staged --worktree . && rm -f ./.pdm-python && rm -rf ./.venv && make -C . setup"
    assert f"To go back:\n  git -C . {steps}" in result.stdout
    go_back(result.stderr, folder)
    assert before | {".venv/pyvenv.cfg": b"mine"} == contents(folder)
    assert "" == git(folder, "status", "--porcelain", ".")


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


@pytest.mark.parametrize("git_does", [f'exec {shutil.which("git")} "$@"', "exit 1"])
def test_ctrl_c_waits_for_the_files_to_be_written(
    history: History, written: Write, tmp_path: Path, git_does: str
) -> None:
    folder = written()
    program = tmp_path / ".git/bin/git"
    program.parent.mkdir()
    held = f"echo > {tmp_path}/.git/at_work; until test -e {tmp_path}/.git/go_on; do sleep 0.02; done; {git_does}"
    program.write_text(f'#!/bin/sh\ncase "$*" in *restore*) {held};; esac\nexec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    environment = {"PYTHONPATH": str(history["2.0.0"].folder), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [BIN / "python", "-m", "asgi_quickstart", "update", "--no-install"],
        cwd=folder,
        env=clean_environment() | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal tells all of them
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr
        eventually((tmp_path / ".git/at_work").exists, 60)
        os.killpg(process.pid, signal.SIGINT)
        (tmp_path / ".git/go_on").touch()
        errors = process.stderr.read()
    assert (130, "asgi-quickstart: stopped") == (process.returncode, errors.strip())
    assert (folder / "serving/latter.py").exists() == (git_does != "exit 1")


def test_refuses_the_environment_that_an_earlier_update_has_put_aside(history: History, written: Write) -> None:
    folder = written()
    (folder / ".venv.before").mkdir()
    (folder / ".venv.before/pyvenv.cfg").touch()
    assert "" == git(folder, "status", "--porcelain")
    refused(history["1.0.0"], folder, ".venv.before is left", "mv .venv.before .venv", flags=("--manager=pdm",))
