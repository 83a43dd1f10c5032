"""Reading YAML: lines, YAML 1.2, and texts that are meant to hurt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.contracts.source import MAX_BYTES, FaultyContract, Source
from control_plane.types import FileFault

Faults = Callable[[str], list[FileFault]]


@pytest.mark.parametrize("word", ["no", "on", "off", "yes", "y", "n", "No", "ON"])
def test_words_that_yaml_11_took_for_booleans_are_strings(word: str) -> None:
    assert Source("f", f"{word}: [{word}]").data == {word: [word]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("0o17", 15), ("0x1F", 31), ("1e3", 1000.0), ("~", None), ("'1'", "1"), ("017", 17),
     ("1:30", "1:30"), ("true", True), ("-0.5", -0.5)],
)  # fmt: skip
def test_scalars_are_those_of_yaml_12(text: str, value: object) -> None:
    got = Source("f", f"a: {text}").data["a"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("literal", ["true", "false", "7", "1.5", "word", "[1]", "{b: 1}"])
def test_an_anchor_changes_nothing_of_the_value(literal: str) -> None:
    data = Source("f", f"a: {literal}\nb: &anchor {literal}\nc: *anchor").data
    assert data["a"] == data["b"] == data["c"]
    assert type(data["a"]) is type(data["b"]) is type(data["c"])


def test_a_yaml_11_directive_does_not_bring_yaml_11_back() -> None:
    try:
        data = Source("f", "%YAML 1.1\n---\na: [no, on]").data
    except FaultyContract:
        return
    assert data == {"a": ["no", "on"]}


def test_merge_keys_are_merged() -> None:
    data = Source("f", "base: &base {a: 1}\nb: {<<: *base, c: 2}").data
    assert data["b"] == {"a": 1, "c": 2}


@pytest.mark.parametrize(
    ("path", "line"),
    [((), 1), (("a",), 1), (("b", "c"), 3), (("b", "d", 1), 6), (("b", "nothing"), 2), (("x",), 1)],
)
def test_a_fault_names_the_line_of_its_value_or_of_the_nearest_parent(
    path: tuple[str | int, ...], line: int
) -> None:
    source = Source("f", "a: 1\nb:\n  c: 2\n  d:\n    - 1\n    - 2\n")
    assert source.line(path) == line


def test_a_duplicate_key_is_a_fault_on_its_line(faults_of: Faults) -> None:
    (fault,) = faults_of("model: a\ntitle: b\nmodel: c\n")
    assert fault.line == 3
    assert "duplicate" in fault.message


HOSTILE = {
    "empty": "",
    "scalar": "word",
    "list": "- a",
    "two documents": "a: 1\n---\nb: 2",
    "tab": "a:\n\t- b",
    "nul": "a: \0",
    "unclosed": "a: [1, 2",
    "unknown alias": "a: *b",
    "alias of itself": "a: &a [*a]",
    "mapping within itself": "a: &a {b: *a}",
    "merged with itself": "a: &a {<<: *a}",
    "merged with a scalar": "a: {<<: 5}",
    "list as key": "? [a, b]\n: c",
    "mapping as key": "? {a: b}\n: c",
    "number as key": "1: a",
    "null as key": "~: a",
    "date": "a: 2001-01-01",
    "no date": "a: 2001-99-99",
    "binary": "a: !!binary aGVsbG8=",
    "set": "a: !!set {b, c}",
    "ordered mapping": "a: !!omap [b: 1]",
    "python object": "a: !!python/object/apply:os.system [true]",
    "own tag": "a: !own {b: 1}",
    "no int": "a: !!int word",
    "no float": "a: !!float word",
    "no bool": "a: !!bool word",
    "no timestamp": "a: !!timestamp word",
    "yaml 9": "%YAML 9.9\n---\na: 1",
    "two directives": "%YAML 1.2\n%YAML 1.2\n---\na: 1",
    "tag directive": "%TAG ! tag:own,2000:\n---\na: !b 1",
    "huge decimal": "a: 1" + "0" * 5000,
    "huge hexadecimal": "a: 0x" + "f" * 5000,
    "deep list": "a: " + "[" * 500 + "]" * 500,
    "deep mapping": "a: " + "{b: " * 500 + "}" * 500,
    "lone surrogate": 'a: "\\ud800"',
    "byte order mark": "\ufeffa: 1",
    "only a comment": "# nothing",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_is_a_fault_and_nothing_else(faults_of: Faults, text: str) -> None:
    faults = faults_of(text)
    assert faults
    for fault in faults:
        assert fault.file == "m/1/contract.yaml"
        assert fault.line >= 0
        assert fault.message
        assert fault.remedy
        assert "\n" not in fault.message


def test_aliases_of_aliases_do_not_multiply_without_end(faults_of: Faults) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 6)]
    (fault,) = faults_of("\n".join(lines))  # 300,000 values in 300 bytes
    assert "no valid YAML" in fault.message


@given(st.text(alphabet=st.sampled_from("ab:-?[]{}&*!|>'\"%@`#,\n \t0~<"), max_size=60))
def test_any_text_is_a_mapping_or_a_fault(faults_of: Faults, text: str) -> None:
    assert faults_of(text)


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "contract.yaml"
    file.write_text("a: 1")
    assert Source.read(file, "m/1/contract.yaml").file == "m/1/contract.yaml"


@pytest.mark.parametrize(
    "content", [b"a: \xff", b"x" * (MAX_BYTES + 1)], ids=["no UTF-8", "too large"]
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "contract.yaml"
    file.write_bytes(content)
    with pytest.raises(FaultyContract) as caught:
        Source.read(file, "m/1/contract.yaml")
    assert caught.value.faults[0].line == 0


def test_a_file_that_is_not_there_is_a_fault_that_does_not_tell_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FaultyContract) as caught:
        Source.read(tmp_path / "contract.yaml", "m/1/contract.yaml")
    assert str(tmp_path) not in str(caught.value)
