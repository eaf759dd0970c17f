"""Code in the folder of a checkpoint isn't run, whatever waits on the terminal."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

_CODE = """
from pathlib import Path
Path(__file__).with_name("was_run").touch()
Path({ran!r}).touch()
from transformers import PretrainedConfig
class Own(PretrainedConfig):
    model_type = "own"
"""
_LOAD = """
import sys
from hearbench.worker.checkpoints import load_model
from hearbench.worker.checkpoints.reading import Checkpoint
from hearbench.worker.errors import UnusableError
from pathlib import Path

checkpoint = Checkpoint(Path(sys.argv[1]))
library = checkpoint.library

def net(kind):
    config = library.Wav2Vec2Config()
    config.auto_map = {"AutoModel": "own.Own", "AutoConfig": "own.Own"}
    config.__class__ = type("Strange", (library.PretrainedConfig,), {"model_type": "strange"})
    return checkpoint.network(kind, config)

for name, read in (
    ("config", checkpoint.config),
    ("extractor", checkpoint.extractor),
    ("net", lambda: net("AutoModel")),
    ("headless", lambda: load_model(sys.argv[2])),
    ("class", lambda: load_model(sys.argv[3])),
):
    try:
        read()
    except UnusableError as error:
        print("REFUSED", name, str(error).replace(chr(10), "|"), flush=True)
print("END", flush=True)
"""


def _checkpoint(folder: Path) -> Path:
    """A folder with code of its own for everything, and a mark of its having run."""
    ran = folder / "ran"
    (folder / "own.py").write_text(_CODE.format(ran=str(ran)))
    mine = dict.fromkeys(("AutoConfig", "AutoModel", "AutoFeatureExtractor"), "own.Own")
    config: dict[str, Any] = {"model_type": "own", "auto_map": mine, "architectures": ["Own"]}
    (folder / "config.json").write_text(json.dumps(config))
    extractor = {"feature_extractor_type": "Own", "auto_map": mine}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    return ran


def _disguised(folder: Path, kind: str, architecture: str) -> None:
    """A configuration of transformers' own, with code beside it."""
    folder.mkdir()
    (folder / "own.py").write_text(_CODE.format(ran=str(folder / "ran")))
    config = {
        "model_type": kind,
        "auto_map": {"AutoModel": "own.Own"},
        "architectures": [architecture],
    }
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_nobody_is_asked_and_nothing_is_run(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    ran = _checkpoint(folder)
    # transformers has this configuration, and no AutoModel for it.
    headless, other = tmp_path / "headless", tmp_path / "other"
    _disguised(headless, "dia_encoder", "Own")
    # What is called so in transformers is no network.
    _disguised(other, "dia_encoder", "AutoTokenizer")
    command = [sys.executable, "-c", _LOAD, str(folder), str(headless), str(other)]
    shown = _on_a_terminal(command, tmp_path, b"y\n" * 20)
    assert "END" in shown, shown
    refused = [line for line in shown.splitlines() if line.startswith("REFUSED")]
    tried = ["config", "extractor", "net", "headless", "class"]
    assert [line.split()[1] for line in refused] == tried
    folders = [folder, folder, folder, headless, other]
    for line, place in zip(refused, folders, strict=True):
        assert f"{place} brings Python code of its own" in line
        assert "|" not in line
        assert "unless --trust-code allows it" in line
        assert "trust_remote_code" not in line
    assert "[y/N]" not in shown
    assert not ran.exists()
    assert not [*tmp_path.rglob("was_run")]


def _on_a_terminal(command: list[str], home: Path, typed: bytes) -> str:
    """What a command shows on a terminal of its own, where something was typed before."""
    mine, its = os.openpty()
    environment = {**os.environ, "HF_HOME": str(home / "hub"), "HF_MODULES_CACHE": str(home / "m")}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        os.write(mine, typed)
        shown, until = b"", time.monotonic() + 120
        while time.monotonic() < until:
            if select.select([mine], [], [], 0.2)[0]:
                try:
                    piece = os.read(mine, 1 << 16)
                except OSError:  # the other side has closed it
                    break
                if not piece:
                    break
                shown += piece
            elif process.poll() is not None:
                break
        process.kill()
    os.close(mine)
    return shown.decode(errors="replace").replace("\r\n", "\n")
