"""Registry, content, seeding and errors."""

from pathlib import Path

import pytest

from metabench import content, seeding
from metabench.errors import ContentError, DefinitionError, MetabenchError, UnknownNameError
from metabench.registry import Registry, did_you_mean


def test_registry_imports_only_what_is_asked_for() -> None:
    registry = Registry("thing", {"path": "pathlib:Path", "broken": "no.such.module:x"}, "metabench.nothing")
    assert registry.names() == ("path", "broken")
    assert registry.get("path") is Path
    assert "broken" in registry


def test_registry_suggests_the_nearest_name() -> None:
    registry = Registry("block", {"mlp.deq": "a:b", "mlp.ode": "a:b"}, "metabench.nothing")
    with pytest.raises(UnknownNameError, match=r"unknown block 'mlp.dq'. Did you mean 'mlp.deq'"):
        registry.get("mlp.dq")
    assert did_you_mean("zzzz", ["a"]) == ""


def test_registry_takes_additions_once() -> None:
    registry = Registry("thing", {}, "metabench.nothing")
    registry.add("mine", Path)
    assert registry.get("mine") is Path
    with pytest.raises(UnknownNameError, match="already"):
        registry.add("mine", Path)


def test_registry_reads_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    import metabench.registry as module

    found = [EntryPoint("outside", "pathlib:PurePath", "metabench.things")]
    monkeypatch.setattr(module, "entry_points", lambda group: found if group == "metabench.things" else [])
    registry = Registry("thing", {"path": "pathlib:Path"}, "metabench.things")
    assert registry.names() == ("path", "outside")
    assert registry.get("outside").__name__ == "PurePath"


def test_content_finds_shipped_definitions_and_files_of_the_users_own(tmp_path: Path) -> None:
    assert {"cells-v1", "cells2-v1"} <= set(content.identifiers("search_spaces"))
    own = tmp_path / "own.toml"
    own.write_text('id = "own"\n')
    assert content.locate("tasks", str(own)) == own
    with pytest.raises(ContentError, match=r"unknown space 'cells2-v2'. Did you mean 'cells2-v1'"):
        content.locate("search_spaces", "cells2-v2")
    with pytest.raises(ContentError, match="no file"):
        content.locate("tasks", "./nothing.toml")


def test_unreadable_toml_names_file_and_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('id = "x"\nblocks = [\n')
    with pytest.raises(DefinitionError, match=r"bad\.toml: not valid TOML"):
        content.read_toml(bad)
    bad.write_bytes(b'id = "\xff"\n')
    with pytest.raises(DefinitionError, match="not UTF-8"):
        content.read_toml(bad)


def test_seeds_are_stable_and_depend_on_every_part() -> None:
    # SHA-256 of "int:1\x1fstr:a", first 8 bytes, halved: the value may never change between versions.
    import hashlib

    assert seeding.derive(1, "a") == int.from_bytes(hashlib.sha256(b"int:1\x1fstr:a").digest()[:8], "big") >> 1
    assert len({seeding.derive(1, "a"), seeding.derive("1", "a"), seeding.derive(1, "b"), seeding.derive("a", 1)}) == 4
    assert seeding.numpy_generator(3).random() == seeding.numpy_generator(3).random()


def test_every_error_is_a_metabench_error() -> None:
    import metabench.errors as errors

    assert all(issubclass(getattr(errors, name), MetabenchError) for name in errors.__all__)
