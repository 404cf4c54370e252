"""The entry point: signals are handled before anything else is imported."""

from . import interrupt


def main() -> None:
    """Run the command; see `cli.main`."""
    interrupt.raised()
    try:
        with interrupt.at_once():
            from . import cli
        cli.main()
    except KeyboardInterrupt:  # between the two
        interrupt.stop()


if __name__ == "__main__":
    main()
