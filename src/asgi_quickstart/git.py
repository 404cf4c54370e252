"""git, without the user's configuration getting in the way."""

import os
import subprocess
from pathlib import Path

from .errors import Error

# Temporary repositories of ours: no hooks, no signatures, no other line endings, no other way to merge,
# whatever the user has configured.
NEUTRAL = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",  # nor the attributes that are read without any configuration
    "GIT_CONFIG_KEY_0": "core.attributesFile",
    "GIT_CONFIG_VALUE_0": os.devnull,
    "GIT_AUTHOR_NAME": "asgi-quickstart",
    "GIT_AUTHOR_EMAIL": "",
    "GIT_COMMITTER_NAME": "asgi-quickstart",
    "GIT_COMMITTER_EMAIL": "",
}


def run(*words: str, folder: Path, given: bytes = b"", neutral: bool = True, fine: tuple[int, ...] = (0,)) -> bytes:
    """What git prints, run in a folder; raises Error with its message if it fails.

    Not neutral in the user's own repository, where the user's configuration applies.
    """
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("GIT_") or not neutral and key.startswith("GIT_CONFIG")
    }
    environment |= {"LANGUAGE": "en"} | (NEUTRAL if neutral else {})
    try:
        result = subprocess.run(
            ["git", *words],
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
            start_new_session=True,  # Ctrl-C on a terminal is for this process, which may have to defer it
        )
    except FileNotFoundError:
        raise Error("git is not installed, and an update needs it") from None
    if result.returncode not in fine:
        word = next(word for word in words if word[0] not in "-" and "=" not in word)
        raise Error(f"git {word} failed in {folder}: {' '.join(result.stderr.decode(errors='replace').split())}")
    return result.stdout


def names(printed: bytes) -> list[str]:
    """The names in what git prints with -z."""
    return [os.fsdecode(name) for name in printed.split(b"\0") if name]


def tracked(folder: Path, *, neutral: bool = True) -> dict[str, bytes]:
    """What git's index has in a folder: mode and object, by name."""
    printed = run("ls-files", "--stage", "-z", folder=folder, neutral=neutral)
    described = (line.split(b"\t", 1) for line in printed.split(b"\0") if line)
    return {os.fsdecode(name): b" ".join(fields.split()[:2]) for fields, name in described}
