"""YAML, read strictly. No other file imports PyYAML.

Every value keeps its line, and whatever could surprise is refused. YAML 1.1 reads `no` as false,
`1_0` as ten and `1:30` as ninety, so scalars are kept as text, and the caller decides what they
mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from lab.base.errors import Problem, TopologyError
from lab.base.messages import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 64 * 1024
"""A topology of fifty nodes has four kilobytes. Sixty-four are a mistake, and PyYAML needs a second
for them."""
MAX_DEPTH = 20
"""The format is four levels deep. PyYAML's composer recurses, and would end in a RecursionError."""
BOOLEANS = frozenset(yaml.SafeLoader.bool_values)
"""What YAML 1.1 reads as true or false: yes, no, on, off, true, false."""
_LIBYAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader; PyYAML's own where that was built without it."""


@dataclass(slots=True)
class Value:
    """A node of the file."""

    data: str | list[Value] | dict[str, Value] | None
    """A scalar's text, a list or a mapping; None: null, or nothing at all."""
    line: int
    """1-based; 0: not in the file."""
    origin: str = ""
    """The override that it came from, such as `--set ha.token`; empty: the file."""
    quoted: bool = False


@dataclass(slots=True)
class Problems:
    """Gathers what is wrong, so that all of it is reported at once."""

    noted: list[Problem] = field(default_factory=list)

    def add(self, value: Value | int, message: str, hint: str = "") -> None:
        """Note a problem at a value or a line.

        For a value that came from an override, the message names that instead of a line.
        """
        if isinstance(value, Value):
            message = f"{value.origin}: {message}" if value.origin else message
            self.noted.append(Problem(0 if value.origin else value.line, message, hint))
        else:
            self.noted.append(Problem(value, message, hint))

    def raise_any(self, path: str) -> None:
        """Raise TopologyError with all problems, if there are any."""
        if self.noted:
            raise TopologyError(path, tuple(self.noted))


def compose(text: str, path: str, problems: Problems | None = None) -> Value:
    """Read one YAML document into Values.

    Keys that are not scalars, or occur twice, are noted in `problems`, so that a caller can report
    them with its own; without it they are raised. Raise TopologyError for text that is not YAML, or
    YAML with aliases, tags, several documents or deep nesting.
    """
    node = _document(text, path)
    gathered = Problems() if problems is None else problems
    value = _convert(node, gathered)
    if problems is None:
        gathered.raise_any(path)
    return value


def _document(text: str, path: str) -> yaml.Node:
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise TopologyError(
            path, (Problem(0, "the file is larger than 64 KiB", "a topology has a few kilobytes"),)
        )
    try:
        roots = _nodes(text)
    except yaml.YAMLError as error:
        raise TopologyError(path, (_invalid(text, error),)) from None
    if not roots:
        raise TopologyError(
            path, (Problem(0, "the file is empty", "`halab init` writes a file to begin with"),)
        )
    return roots[0]


def _invalid(text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line, code = text.count("\n", 0, int(error.position)) + 1, int(error.character)
        return Problem(
            line,
            f"the character U+{code:04X} is not allowed in YAML",
            "write the file as plain UTF-8 text",
        )
    mark = getattr(error, "problem_mark", None)
    what = str(
        getattr(error, "problem", None) or next(iter(str(error).splitlines()), type(error).__name__)
    )
    line = mark.line + 1 if mark else 0
    if isinstance(error, _RefusedError):
        return Problem(line, what, error.note or "")
    begin = getattr(error, "context_mark", None)
    hint = (
        f"look at this line and at line {begin.line + 1}"
        if begin
        else "look at this line and the one above it"
    )
    hint = "indent with spaces, not with tabs" if r"'\t'" in what else hint
    return Problem(line, f"not valid YAML: {shown(what)}", hint)


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that halab refuses."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses aliases, tags and deep nesting before anything is built from them.

    Ten lines of aliases can stand for a gigabyte.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.documents = 0

    def get_event(self) -> yaml.Event:
        """Return the next event, if it is accepted. The composer takes all of them from here."""
        event: yaml.Event = super().get_event()  # type: ignore[no-untyped-call]
        self.depth += isinstance(event, yaml.CollectionStartEvent)
        self.depth -= isinstance(event, yaml.CollectionEndEvent)
        self.documents += isinstance(event, yaml.DocumentStartEvent)
        problem, note = self._refusal(event)
        if problem:
            raise _RefusedError(problem=problem, problem_mark=event.start_mark, note=note)  # type: ignore[arg-type]
        return event

    def _refusal(self, event: yaml.Event) -> tuple[str, str]:
        """Return why an event is refused, and a hint; empty for one that is accepted."""
        if self.documents > 1:
            return "a second document (`---`)", "one file, one topology"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problem = "anchors and aliases (`&`, `*`) are not used here"
            return problem, "write the value out, or put it in quotes"
        tag = getattr(event, "tag", None)
        if tag is not None:
            problem = f"tags (`{shown(str(tag))}`) are not used here"
            return problem, "leave the tag out, or put the value in quotes"
        if self.depth > MAX_DEPTH:
            return "nested too deeply", "a topology is at most four levels deep"
        return "", ""


def _nodes(text: str) -> list[yaml.Node]:
    """Return the root of each document: of one at most, as a second one is refused."""
    loader = _StrictLoader(text)
    nodes = []
    try:
        while loader.check_node():
            nodes.append(loader.get_node())
    # PyYAML lets the errors of chr() and int() about absurd escapes and directives through.
    except (ValueError, OverflowError):
        hint = r"escapes such as \U0010FFFF end there"
        raise _RefusedError(
            problem="an escape or number is out of range", problem_mark=loader.get_mark(), note=hint
        ) from None
    return [node for node in nodes if node]


def _convert(node: yaml.Node, problems: Problems) -> Value:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return Value([_convert(item, problems) for item in node.value], line)
    if isinstance(node, yaml.MappingNode):
        return Value(dict(_pairs(node, problems)), line)
    quoted = bool(getattr(node, "style", None))  # plain: PyYAML has None, libyaml an empty text
    null = node.tag == "tag:yaml.org,2002:null" and not quoted
    return Value(None if null else str(node.value), line, quoted=quoted)


def _pairs(node: yaml.MappingNode, problems: Problems) -> Iterator[tuple[str, Value]]:
    lines: dict[str, int] = {}
    for key, item in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.add(
                line,
                "a key must be a word",
                "a value with `{` or `[` in it belongs behind a key and a colon",
            )
            continue
        name, plain_key = str(key.value), not key.style
        if plain_key and name.lower() in BOOLEANS:
            hint = f'write it in quotes: "{name}", or choose another name'
            problems.add(line, f"`{name}` as a key means true or false in YAML 1.1", hint)
        if name in lines:
            problems.add(
                line,
                f"`{shown(name)}` stands here a second time",
                f"first in line {lines[name]}; keep one of them",
            )
            continue
        lines[name] = line
        value = _convert(item, problems)
        # For PyYAML a block mapping starts at its first key; a reader looks for it at its own key.
        value.line = value.line if isinstance(value.data, str) else line
        yield name, value


def plain(text: str, path: str) -> Any:  # noqa: ANN401 (whatever the file holds)
    """Read a small YAML file into plain values.

    Those are texts, None, lists and mappings; unquoted true and false are booleans. Raise
    TopologyError as `compose` does.
    """
    return _stripped(compose(text, path))


def shipped(text: str, path: str) -> Any:  # noqa: ANN401 (whatever the file holds)
    """Read a file that comes with halab (versions.yaml), as `plain` does but by libyaml if it can.

    That takes a thirtieth of the time. Raise TopologyError as `compose` does.
    """
    try:
        node = yaml.compose(text, Loader=_LIBYAML)
    except yaml.YAMLError:
        node = None
    if node is None:
        return plain(text, path)  # says what is wrong
    problems = Problems()
    value = _convert(node, problems)
    problems.raise_any(path)
    return _stripped(value)


def _stripped(value: Value) -> Any:  # noqa: ANN401 (whatever the file holds)
    if isinstance(value.data, dict):
        return {key: _stripped(item) for key, item in value.data.items()}
    if isinstance(value.data, list):
        return [_stripped(item) for item in value.data]
    if value.quoted or value.data not in {"true", "false"}:
        return value.data
    return value.data == "true"


def documents(text: str) -> list[dict[str, Any]]:
    """Read Kubernetes manifests that others published: all documents, by YAML's own rules.

    PyYAML uses libyaml if it can: a megabyte of definitions takes a second, and ten without. Raise
    TopologyError for text that is not YAML.
    """
    try:
        return [item for item in yaml.load_all(text, Loader=_LIBYAML) if item]
    except yaml.YAMLError as error:
        raise TopologyError("manifests", (_invalid(text, error),)) from None


def override(root: Value, setting: str, problems: Problems) -> None:
    """Apply one `--set key.path=value` to the tree; make sections that the file does not have.

    What is wrong with the setting is noted in `problems`.
    """
    key, separator, text = setting.partition("=")
    origin = f"--set {shown(key)}"
    if not separator or not re.fullmatch(r"[^.=\s]+(\.[^.=\s]+)*", key):
        problems.add(
            0,
            f"--set {shown(setting)}: not of the form key.path=value",
            "for example --set ha.token=400ms",
        )
        return
    try:
        parsed = compose(text, origin) if text.strip() else Value(None, 0)
    except TopologyError as error:
        problems.noted.extend(
            Problem(0, f"{origin}: {problem.message}", problem.hint) for problem in error.problems
        )
        return
    _mark(parsed, origin)
    place = root
    *sections, last = key.split(".")
    for section in sections:
        if isinstance(place.data, dict):
            place = place.data.setdefault(section, Value({}, 0, origin))
            place.data = {} if place.data is None else place.data
    if isinstance(place.data, dict):
        place.data[last] = parsed
    else:
        section = shown(".".join(sections))
        problems.add(
            0,
            f"{origin}: `{section}` is not a section, it has no keys",
            "`halab schema` lists the keys",
        )


def _mark(value: Value, origin: str) -> None:
    value.origin = origin
    children: list[Value] = []
    if isinstance(value.data, dict):
        children = [*value.data.values()]
    elif isinstance(value.data, list):
        children = value.data
    for child in children:
        _mark(child, origin)


def dump(data: Any) -> str:  # noqa: ANN401 (any plain value)
    """Return plain values as YAML that people can read (a kubeconfig)."""
    return str(yaml.safe_dump(data, sort_keys=False))


def foreign(text: str, path: str) -> Any:  # noqa: ANN401 (whatever the file holds)
    """Read a YAML file that is not halab's (the user's kubeconfig) by YAML's own rules.

    Its booleans and numbers stay what they are. Raise TopologyError for text that is not YAML.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        what = str(error).splitlines()[0]
        raise TopologyError(
            path, (Problem(0, f"not valid YAML ({what}); it was not changed"),)
        ) from None
