"""WSGI against ASGI: what a quick request waits while many clients stay, and what those cost.

Run as `python -m bench.compare`; it writes `bench/results/compare.json`, the tables and the chart in
`docs/wsgi-and-asgi.md`, and the figures in the README.
"""

import json
import sys

from . import report
from .comparison import compare


def main() -> None:
    results = compare(rounds=int(sys.argv[1]) if sys.argv[1:] else 3)
    report.RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    report.write(results)
    print(report.tables(results))


if __name__ == "__main__":
    main()
