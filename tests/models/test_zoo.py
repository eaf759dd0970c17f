"""The zoo: its files, what is found in them, and their mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers_zoo import FAMILY, put_into_zoo, written

from hearbench.errors import ModelError, UnknownNameError
from hearbench.models import zoo

FOLDER = Path(zoo.__file__).parent


def test_every_file_can_be_read() -> None:
    for path in sorted(FOLDER.glob("*.toml")):
        models = zoo.read_family(path)
        assert models, path
        # A file is found by its family's name.
        assert {model.family for model in models} == {path.stem}
    found = zoo.recipes()
    assert [recipe.name for recipe in found] == sorted(recipe.name for recipe in found)
    assert len({recipe.name.lower() for recipe in found}) == len(found) >= 40
    assert len({recipe.family for recipe in found}) >= 20


def test_what_a_model_says_itself_counts(tmp_path: Path) -> None:
    small, large = zoo.read_family(written(tmp_path, FAMILY))
    assert (small.licence_weights, large.licence_weights) == ("CC-BY-NC-4.0", "MIT")
    assert small.title == large.title == "Chirp"
    assert (small.needs_environment, large.needs_environment) == (False, True)
    assert (small.loads, large.loads) == ("hf:chirp/small@v1", "net:chirp.nets:large")
    assert small.source == "huggingface.co/chirp/small (90 MB)"
    assert large.source == "https://example.org/large.pt"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('family = "chirp"', 'family = "chirp"\ncolour = "red"'), "chirp-small: colour: Extra"),
        (('title = "Chirp"\n', ""), "chirp-small: title: Field required"),
        (('"environment"', '"birds"'), "domains"),
        (('"not run"', '"a little"'), "'a little' is none of: random weights"),
        (("hf:chirp/small", "hf:"), "'hf:' is neither"),
        (("net:chirp.nets:large", "net:chirp.nets"), "'net:chirp.nets' is neither"),
        (('unchecked = ["input"]', 'unchecked = ["hop"]'), "unchecked: there is no key 'hop'"),
        (('"chirp-small"', '"chirp.small"'), "'chirp.small' could be the import name"),
        (('spec = "hf:chirp/small"', 'spec = ""'), "either spec says what is loaded"),
        (('requirements = ["chirp==1.0", "einops"]\n', ""), "python belongs to requirements"),
        (("sample_rate = 32000", 'sample_rate = "32000"'), "chirp-large: sample_rate"),
        (("[[models]]", "[[models"), "is no TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    path = written(tmp_path, FAMILY.replace(*change))
    with pytest.raises(ModelError) as caught:
        zoo.read_family(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no\.toml can't be read"):
        zoo.read_family(tmp_path / "no.toml")


def test_models_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_zoo(monkeypatch, written(tmp_path, FAMILY))

    def names(text: str = "", **wanted: str | bool) -> list[str]:
        return [recipe.name for recipe in zoo.recipes(text, **wanted)]  # type: ignore[arg-type]

    assert names() == ["chirp-large", "chirp-small"]
    assert names(licence="cc-by") == ["chirp-small"]
    assert names(needs_environment=True) == ["chirp-large"]
    assert names(needs_environment=False) == ["chirp-small"]
    assert names("BIRDS large") == ["chirp-large"]
    assert names("whales") == []
    assert names(domain="music") == []
    with pytest.raises(UnknownNameError, match="Did you mean 'music'"):
        names(domain="musik")


def test_models_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_zoo(monkeypatch, written(tmp_path, FAMILY))
    assert zoo.get("Chirp-Large").name == "chirp-large"
    assert zoo.find("chirp") is None
    with pytest.raises(UnknownNameError, match="Did you mean 'chirp-large'"):
        zoo.get("chirp-lage")
    with pytest.raises(UnknownNameError, match="`hearbench list models` shows"):
        zoo.get("qqq")


def test_the_frame_has_every_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_zoo(monkeypatch, written(tmp_path, FAMILY))
    frame = zoo.to_frame()
    assert list(frame.columns) == list(zoo.Recipe.model_fields)
    assert frame.set_index("name").loc["chirp-small", "width"] == 384
    assert len(zoo.to_frame(zoo.recipes(licence="mit"))) == 1
    assert list(zoo.to_frame([]).columns) == list(frame.columns)


def test_the_zoo_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hearbench.models import zoo; zoo.recipes();"
        "print({'torch', 'pandas', 'scipy', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
