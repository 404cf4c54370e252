"""The logs, where a master forks."""

import os
import signal
import subprocess
from contextlib import suppress

import pytest

from ..service import Service, clean_environment

pytestmark = pytest.mark.slow

SCRIPT = """
import logging.config, os, sys, threading
from serving import logs

logging.config.dictConfig(logs.config(development=False, level="INFO"))
logs.hold_while_forking()

def log():
    while True:
        logging.info("from a thread")

threading.Thread(target=log, daemon=True).start()
for _ in range(100):
    if os.fork() == 0:
        logging.info("from a child")
        os._exit(0)
    os.wait()
os._exit(0)
"""


def test_what_is_forked_while_a_thread_logs_can_log(service: Service) -> None:
    process = subprocess.Popen(
        [service.folder / ".venv/bin/python", "-c", SCRIPT],
        cwd=service.folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert output.count(b"from a child") == 100
