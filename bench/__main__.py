"""`python -m bench [--quick] [SECTION ...]`: measure, write the results, the tables and the charts."""

import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from . import charts, client, growth, layers, parts, report, results, stack, start, throughput, tool

SECTIONS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "stack": stack.section,
    "layers": layers.measure,
    "client": client.measure,
    "throughput": throughput.measure,
    "parts": parts.measure,
    "start": start.measure,
    "growth": growth.measure,
    "tool": tool.measure,
}
MOST_FILES = 5_200  # 5,000 connections, and some
QUICK = ("stack", "layers", "client", "throughput", "start")


def main(words: list[str]) -> int:
    quick = "--quick" in words
    wanted = [word for word in words if word != "--quick"] or list(QUICK if quick else SECTIONS)
    if unknown := [word for word in wanted if word not in SECTIONS]:
        print(f"No such part: {' '.join(unknown)}. There are: {' '.join(SECTIONS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that the servers end too
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if "growth" in wanted and most < MOST_FILES:
        print(f"The load needs {MOST_FILES} open files: `ulimit -n {MOST_FILES}`; it may have {most}", file=sys.stderr)
        return 2
    file = results.QUICK if quick else results.LATEST
    if quick:
        file.unlink(missing_ok=True)  # it is of this run alone
    for name in wanted:
        began = time.monotonic()
        figures = SECTIONS[name](quick)
        if name in ("throughput", "parts") and all(row["contestant"] != throughput.FOUNDING for row in figures["rows"]):
            print(
                f"{name}: without the founding set-up there are no ratios; not saved:\n{figures['out']}",
                file=sys.stderr,
            )
            return 1
        saved = results.save({name: figures}, file)
        print(f"\n{report.tables(saved)[name]}\n{name} took {time.monotonic() - began:.0f} s\n", flush=True)
    if not quick:
        report.write(results.load())
        charts.draw(results.load())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
