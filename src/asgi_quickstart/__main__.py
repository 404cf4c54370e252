"""The entry point: imports nothing before Ctrl-C is looked after."""

import sys


def main() -> None:
    """Run the command; see `cli.main`."""
    try:
        from . import cli
    except KeyboardInterrupt:
        print("asgi-quickstart: stopped", file=sys.stderr)
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
