import re
from pathlib import Path

import pytest

# :: filter replace("\n\n", "\n")
from app.settings import Settings

# :: if realtime == "full"
from channels.settings import ChannelSettings

# :: endif
# :: endfilter
from serving.settings import load

ROOT = Path(__file__).parent.parent


def test_every_setting_is_in_the_example_file_and_in_the_readme() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    # :: if realtime == "full"
    settings |= {name.upper() for name in ChannelSettings.model_fields}
    # :: endif
    assert settings == set(re.findall(r"^(?:# )?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M))
    assert settings == set(re.findall(r"^\| `([A-Z0-9_]+)` ", (ROOT / "README.md").read_text(), re.M))


def test_an_invalid_value_prevents_the_start_with_a_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "eighty")
    with pytest.raises(SystemExit) as stop:
        load(Settings)
    assert stop.value.code == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("PORT: Input should be a valid integer")


def test_a_file_that_cannot_be_read_prevents_the_start_with_a_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"NAME=caf\xe9")
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    with pytest.raises(SystemExit) as stop:
        load(Settings)
    assert stop.value.code == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f": {file}")
