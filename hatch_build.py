"""Packs every state that the template ever had into the wheel, so that an update needs no network."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGETS = {"wheel": "asgi_quickstart/_history", "sdist": "history"}


class History(BuildHookInterface[Any]):
    """Adds `states`, a line "commit tree" each, and `objects.pack` with what these trees hold."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        folder = root / "history"  # an sdist brings it
        if (root / ".git").exists():
            folder = root / ".cache" / "history"
            pack(root, folder)
        if folder.exists():
            build_data["force_include"][str(folder)] = TARGETS[self.target_name]


def pack(root: Path, folder: Path) -> None:
    """Write the history of a checkout's template into a folder."""
    with tempfile.TemporaryDirectory() as objects:
        environment = dict(os.environ)

        def git(*words: str, given: str = "") -> bytes:
            return subprocess.run(
                ["git", "-C", str(root), *words],
                env=environment,
                input=given.encode(),
                stdout=subprocess.PIPE,
                check=True,
            ).stdout

        own = git("rev-parse", "--path-format=absolute", "--git-path", "objects").decode().strip()
        environment |= {"GIT_OBJECT_DIRECTORY": objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES": own}  # write nothing there

        states: dict[str, str] = {}
        for commit in git("rev-list", "HEAD").decode().split():
            found = git("ls-tree", commit, "copier.yml", "template").decode()
            if re.fullmatch(r"\S+ blob \S+\tcopier.yml\n\S+ tree \S+\ttemplate\n", found):
                states[commit] = found
        # Trees of what a checkout would have with nothing but the template in it.
        trees = {found: git("mktree", given=found).decode().strip() for found in set(states.values())}
        listed = git("rev-list", "--objects", "--no-walk", "--stdin", given="\n".join(sorted(trees.values()))).decode()
        names = sorted({line.split()[0] for line in listed.splitlines()})
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "states").write_text("".join(f"{commit} {trees[found]}\n" for commit, found in states.items()))
        (folder / "objects.pack").write_bytes(
            git("pack-objects", "--quiet", "--threads=1", "--stdout", given="\n".join(names))
        )
