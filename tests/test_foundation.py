"""Files that are whole or not there, digests, the registry and the settings."""

import hashlib
import json
import math
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from hearbench import errors
from hearbench.digest import digest_bytes, digest_file, digest_json, short
from hearbench.errors import HearError, UnknownNameError
from hearbench.files import (
    atomic_folder,
    atomic_write,
    read_npy,
    write_json,
    write_npy,
    write_text,
)
from hearbench.locks import only_one
from hearbench.registry import Registry, did_you_mean, nearest_path
from hearbench.workspace import Workspace, available_cores


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:  # noqa: PT012 (the two are one)
        file.write(b"half of the ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_links_are_followed_and_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "target.txt"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    # As /dev/stdout in a pipeline, which must not be replaced by a file.
    code = (
        "from pathlib import Path; from hearbench.files import write_text; "
        "write_text(Path('/dev/stdout'), 'through')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "through")
    assert Path("/dev/stdout").is_symlink()


def test_written_files_have_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "x")
    plain = tmp_path / "plain.txt"
    plain.write_text("x")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_a_lock_is_one_processes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    program = (
        "import sys; from pathlib import Path; from hearbench.locks import only_one\n"
        "with only_one(Path(sys.argv[1])) as alone: print(alone, flush=True); sys.stdin.read()"
    )

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    for kill in (False, True):
        with begin() as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "True\n"
            with only_one(path) as alone:
                assert not alone
            if kill:  # with the process goes its lock, though not the file
                first.kill()
            first.communicate(timeout=120)
        assert path.exists() is kill
        with only_one(path) as alone:
            assert alone
        assert not path.exists()


def test_folders_appear_when_they_are_finished(tmp_path: Path) -> None:
    target = tmp_path / "task"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    with atomic_folder(target) as folder:  # somebody was faster: theirs stays
        (folder / "a").write_text("2")
    assert (target / "a").read_text() == "1"
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "other"):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["task"]


def test_json_is_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [math.nan, math.inf, (-math.inf, 0.1)], "a": {"c": "é"}})
    text = path.read_text()
    assert json.loads(text) == {"b": [None, "Infinity", ["-Infinity", 0.1]], "a": {"c": "é"}}
    assert list(json.loads(text)) == ["b", "a"]


def test_arrays_survive_and_pickles_are_refused(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    write_npy(tmp_path / "a.npy", array.T)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), array.T)
    assert isinstance(read_npy(tmp_path / "a.npy", mmap=True), np.memmap)
    with pytest.raises(ValueError, match=r"pickle|Object"):
        write_npy(tmp_path / "b.npy", np.array([{}], dtype=object))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_digests_are_sha256(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    expected = hashlib.sha256(data).hexdigest()
    path = tmp_path / "f"
    path.write_bytes(data)
    assert digest_bytes(data) == digest_file(path) == expected
    assert short(expected) == expected[:16]


def test_json_digests_ignore_the_order_of_keys_alone() -> None:
    assert digest_json({"a": 1, "b": [2, 3]}) == digest_json({"b": [2, 3], "a": 1})
    assert digest_json([1, 2]) != digest_json([2, 1])
    with pytest.raises(ValueError, match="JSON"):
        digest_json(math.nan)


def test_a_registry_imports_on_demand_and_proposes_names() -> None:
    registry: Registry[object] = Registry(
        "shape", "hearbench.test", {"circle": "math:pi", "broken": "no_such_module:x"}
    )
    assert registry.names() == ["broken", "circle"]
    assert registry.get("circle") == math.pi
    with pytest.raises(UnknownNameError, match=r"no shape named 'circel'.*'circle'"):
        registry.get("circel")
    assert did_you_mean("zzz", ["a", "b"]) == "Known: a, b."


def test_a_path_that_is_not_there_has_a_neighbor(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "my_model.py").write_text("")
    assert nearest_path(tmp_path / "resluts") == f" Did you mean '{tmp_path / 'results'}'?"
    assert nearest_path(tmp_path / "my_modle.py").endswith("my_model.py'?")
    assert nearest_path(tmp_path / "zzz") == ""
    assert nearest_path(tmp_path / "not" / "there") == ""


def test_settings_take_arguments_then_environment_then_defaults(tmp_path: Path) -> None:
    environment = {"HEARBENCH_CACHE": str(tmp_path), "HEARBENCH_DEVICE": "cuda:1"}
    workspace = Workspace.from_environment(environment=environment)
    assert (workspace.cache_dir, workspace.device) == (tmp_path.resolve(), "cuda:1")
    given = Workspace.from_environment(
        cache_dir=tmp_path / "x", device="cpu", workers=3, environment=environment
    )
    assert (given.cache_dir.name, given.device, given.workers) == ("x", "cpu", 3)
    assert given.torch_device() == "cpu"
    default = Workspace.from_environment(environment={})
    assert default.cache_dir.name == "hearbench"
    assert default.workers == available_cores() >= 1
    assert default.torch_device() in ("cpu", "cuda")


@pytest.mark.parametrize("memory_gb", [math.nan, math.inf, -1.0])
def test_no_memory_is_called(memory_gb: float, tmp_path: Path) -> None:
    with pytest.raises(HearError, match=f"--max-memory {memory_gb}: a number of GiB from 0 on"):
        Workspace(tmp_path, max_memory_gb=memory_gb)


def test_the_tree_of_errors_is_the_one_in_the_docstring() -> None:
    for name in set(errors.__all__) - {"CODES"}:
        error = getattr(errors, name)
        assert issubclass(error, HearError)
        assert error.exit_code == 2
        assert name in (errors.__doc__ or "")


def test_a_mapped_array_is_copied_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hearbench import files

    monkeypatch.setattr(files, "_BLOCK_BYTES", 100)
    values = np.arange(7 * 5 * 3, dtype=np.float32).reshape(7, 5, 3)
    files.write_npy(tmp_path / "a.npy", values)
    mapped = files.read_npy(tmp_path / "a.npy", mmap=True)
    files.write_npy(tmp_path / "b.npy", mapped)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    np.testing.assert_array_equal(files.mapped_rows(mapped, 2, 4), values[2:4])
    np.testing.assert_array_equal(files.mapped_rows(mapped, 5, 99), values[5:])
    assert files.mapped_rows(mapped, 4, 4).shape == (0, 5, 3)
    # A part of a mapped array, whose own offset is that of the whole.
    np.testing.assert_array_equal(files.mapped_rows(mapped[3:], 1, 3), values[4:6])
    files.write_npy(tmp_path / "c.npy", mapped[3:])
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), values[3:])


def test_no_property_is_timed() -> None:
    usual = hypothesis_settings.get_profile("untimed")
    assert hypothesis_settings.default == usual
    assert usual.deadline is None
    assert HealthCheck.too_slow in usual.suppress_health_check
    for path in Path(__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\bdeadline=(\w+)", text)) <= {"None"}, path


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "cuda", "cuda:7", "mps", "xpu:1", "auto"])
def test_devices_are_called(name: str) -> None:
    assert Workspace.from_environment(device=name).device == name


@pytest.mark.parametrize(
    "name", ["gpu", "CPU", "cuda:-1", "cuda:x", "cuda:", "cuda:99999", "meta", "cpu\n", "a" * 999]
)
def test_nothing_else_is_a_device(name: str) -> None:
    for given in ({"device": name}, {"environment": {"HEARBENCH_DEVICE": name}}):
        with pytest.raises(HearError, match=r"No device is called .*cpu; cuda") as caught:
            Workspace.from_environment(**given)
        assert len(str(caught.value)) < 400


def test_a_device_is_tried_before_anything_is_done_on_it(tmp_path: Path) -> None:
    assert Workspace.from_environment(cache_dir=tmp_path, device="cpu").usable_device() == "cpu"
    # No machine has this many.
    nowhere = Workspace.from_environment(cache_dir=tmp_path, device="cuda:4321")
    with pytest.raises(HearError, match=r"'cuda:4321' can't be used\. Here are .*cpu"):
        nowhere.usable_device()
