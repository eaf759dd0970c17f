"""What imports do, in processes of their own: what was heard once is heard for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CODE = """
import json, sys
from hearbench.worker.import_side_effects import ImportWatch, random_digests, seeded_perhaps
from hearbench.worker.importing import Target, import_target

target = Target(sys.argv[1], True, "")
watch = ImportWatch()
before = random_digests()
watch.begin_import(target)
import_target(target)
effects = watch.end()
after = random_digests()
print(json.dumps({**effects, "random": seeded_perhaps(before, after), "digests": after}))
"""
LIBRARY = "from pathlib import Path\nPath(__file__).with_suffix('.log').write_text('x')\n"


def effects(path: Path, *, bytecode: bool = False) -> dict[str, Any]:
    flags = [] if bytecode else ["-B"]
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    done = subprocess.run(
        [sys.executable, *flags, "-c", CODE, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return dict(json.loads(done.stdout))


def test_only_the_models_own_doing_counts(tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "library.py").write_text(LIBRARY)
    (tmp_path / "part.py").write_text("open(__file__ + '.part', 'w').close()\n")
    path = tmp_path / "model.py"
    path.write_text(
        f"import sys; sys.path.append({str(packages)!r})\n"
        "import library\nimport part\nimport subprocess\n"
        "subprocess.run([sys.executable, '-c', ''], check=True)\n"
    )
    found = effects(path)
    assert (packages / "library.log").is_file()
    assert found["writes"] == [f"{tmp_path / 'part.py'}.part"]
    assert found["programs"] == [sys.executable]
    assert found["network"] == []
    assert found["random"] == []


def test_bytecode_is_pythons_own_doing(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text("VALUE = 3\n")
    path = tmp_path / "model.py"
    path.write_text("import part\n")
    assert effects(path, bytecode=True)["writes"] == []
    assert list((tmp_path / "__pycache__").glob("part.*.pyc"))


def test_seeds_show_in_two_processes(tmp_path: Path) -> None:
    seeds, draws = tmp_path / "seeds.py", tmp_path / "draws.py"
    seeds.write_text("import random\nrandom.seed(3)\n")
    draws.write_text("import random\nrandom.random()\n")
    first, second = effects(seeds), effects(seeds)
    assert first["random"] == ["random"]
    assert first["digests"]["random"] == second["digests"]["random"]
    assert first["digests"]["numpy.random"] != second["digests"]["numpy.random"]
    # A library may draw numbers; without a seed they are others each time.
    first, second = effects(draws), effects(draws)
    assert first["random"] == ["random"]
    assert first["digests"]["random"] != second["digests"]["random"]
