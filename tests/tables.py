"""The generated parts of the docs: `python -m tests.tables` writes them, a test compares them."""

from pathlib import Path

from asgi_quickstart.options import options

DOCS = Path(__file__).parents[1] / "docs"


def options_table() -> str:
    """Every option of `copier.yml` with its flag, choices and default."""
    rows = ["| flag | question | choices | default |", "|---|---|---|---|"]
    for option in options():
        choices = "<br>".join(f"`{value}`: {label.partition(' - ')[2]}" for value, label in option.choices.items())
        default = "from the folder's name" if option.name == "name" else f"`{option.written(option.default)}`"
        help = f"{option.help} Comma-separated, or `none`" if option.several else option.help
        rows.append(f"| `--{option.name}` | {help} | {choices or 'a project name'} | {default} |")
    return "\n".join(rows) + "\n"


def part(page: str, name: str) -> str:
    """What stands between a page's marks of that name."""
    return page.partition(f"<!-- {name} -->\n")[2].partition("<!-- end -->")[0]


def replace(file: Path, name: str, text: str) -> None:
    """Put a text between a page's marks of that name."""
    before, mark, rest = file.read_text().partition(f"<!-- {name} -->\n")
    assert mark, f"{file} has no mark <!-- {name} -->"
    file.write_text(before + mark + text + rest[rest.index("<!-- end -->") :])


if __name__ == "__main__":
    replace(DOCS / "command.md", "options", options_table())
