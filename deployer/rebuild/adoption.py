"""Moving services out of files that people wrote, into deployer's own: which lines go, and what that leaves. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deployer.errors import InvalidInput
from deployer.rebuild.traefik import Roll, at_rest, has_stamps, make_template, own_services
from deployer.rebuild.watched import ConfigFile, Definition, Directory, order, own_file, servers_of

if TYPE_CHECKING:
    import yaml

__all__ = ["Adoption", "Edit", "plan_adoption", "without_services"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A file of the directory, as it is and as it is to be; ``before`` is None where there is none yet."""

    name: str
    before: str | None
    after: str

    def diff(self, directory: str) -> str:
        """The unified diff."""
        path = f"{directory}/{self.name}"
        before = (self.before or "").splitlines(keepends=True)
        lines = difflib.unified_diff(
            before, self.after.splitlines(keepends=True), path if self.before is not None else "/dev/null", path
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What is to be written: deployer's own file first, out of ``template``, and then the files that services leave.

    ``unfinished`` says that deployer's file was written last by an adoption or a deploy that was killed.
    """

    own: Edit
    template: str
    originals: tuple[Edit, ...]
    services: tuple[str, ...]
    unfinished: bool = False

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All files that change, in the order in which they are written."""
        return (self.own, *self.originals) if self.services or self.unfinished else ()


@dataclass(slots=True)
class _Moves:
    """What deployer's file will hold, and which services leave which files."""

    services: dict[str, Any]
    leaving: dict[str, list[str]] = field(default_factory=dict)
    moved: dict[str, None] = field(default_factory=dict)


def plan_adoption(directory: Directory, app: str, roll: Roll, *, entry_point: str = "") -> Adoption:
    """Make deployer's file the only one that defines the services of ``roll``; with no ``edits`` it is so already.

    Raises InvalidInput where that has to be done by hand.
    """
    own = directory.file(own_file(app))
    if own and own.problem:
        raise InvalidInput(f"{directory.path}/{own.name} cannot be read: {own.problem}", hint="Correct it by hand.")
    moves = _Moves(own_services(directory, app))
    for service, port in roll:
        _move(directory, own_file(app), service, port, moves)
    _refuse_rivals(directory, own_file(app), moves)
    for service, port in roll:
        if not any(server.leads_to(service, port) for each in moves.services.values() for server in servers_of(each)):
            raise InvalidInput(
                f"what Traefik serves first of several definitions in {directory.path} does not lead to {service}:{port}",
                hint="Leave one definition of each service: deployer check lists them.",
            )
    template = make_template(directory, app, roll, moves.services, entry_point=entry_point)
    edit = Edit(own_file(app), own.text if own else None, at_rest(template))
    originals = tuple(_leave(directory, name, names) for name, names in moves.leaving.items())
    return Adoption(edit, template, originals, tuple(moves.moved), has_stamps(own, app))


def _move(directory: Directory, own: str, service: str, port: int, moves: _Moves) -> None:
    found = directory.leading_to(service, port)
    if not found:
        if any(each.name == service for each in directory.definitions()):
            raise InvalidInput(
                f"Traefik's service {service} in {directory.path} does not lead to {service}:{port}, and deployer will not "
                "add another one of this name",
                hint="Name the port that Traefik uses in rebuild.roll, or correct the service's URL.",
            )
        moves.services[service] = {"loadBalancer": {"servers": [{"url": f"http://{service}:{port}"}]}}
        moves.moved[service] = None
    for each in found:
        if each.file.name == own:
            continue
        if each.file.name.endswith(".toml"):
            raise _by_hand(directory, own, each)
        if each.name not in moves.moved and _first(directory, each.name).file.name != own:
            # What is served now: the first of several definitions.
            moves.services[each.name] = _first(directory, each.name).options
        moves.moved[each.name] = None
        leaving = moves.leaving.setdefault(each.file.name, [])
        if each.name not in leaving:
            leaving.append(each.name)


def _first(directory: Directory, name: str) -> Definition:
    return next(each for each in directory.definitions() if each.name == name)


def _refuse_rivals(directory: Directory, own: str, moves: _Moves) -> None:
    """A definition that stays in another file and comes first would still win."""
    for name in moves.moved:
        for each in directory.definitions():
            if each.name == name and each.file.name == own:
                break
            if (
                each.name == name
                and name not in moves.leaving.get(each.file.name, ())
                and order(each.file.name) < order(own)
            ):
                raise InvalidInput(
                    f"Traefik's service {name} is defined more than once in {directory.path}, and {each.file.name} sends it "
                    "elsewhere",
                    hint=f"Leave one definition: rename or remove the one in {each.file.name}.",
                )


def _by_hand(directory: Directory, own: str, definition: Definition) -> InvalidInput:
    from deployer.rebuild.documents import dump

    text = dump({"http": {"services": {definition.name: definition.options}}})
    return InvalidInput(
        f"{directory.path}/{definition.file.name} is TOML, which deployer does not edit: move its service "
        f"{definition.name} by hand",
        hint=f"Put this into {directory.path}/{own}, and then take http.services.{definition.name} out of "
        f"{definition.file.name}:\n{text}",
    )


def _leave(directory: Directory, name: str, services: Sequence[str]) -> Edit:
    file = directory.file(name)
    assert file is not None
    after = without_services(file.text, services)
    if after is None or not _as_wanted(file, services, after):
        raise InvalidInput(
            f"{', '.join(services)} cannot be taken out of {directory.path}/{name} without touching what else is there",
            hint="Move it by hand: deployer's own file takes it as it is, and the services' blocks are removed here.",
        )
    return Edit(name, file.text, after)


def _as_wanted(file: ConfigFile, services: Sequence[str], after: str) -> bool:
    from deployer.rebuild.documents import MalformedError, parse

    try:
        return (parse(after) or {}) == _less(file.data or {}, ("http", "services"), services)
    except MalformedError:
        return False


def _less(mapping: Mapping[str, Any], path: tuple[str, ...], services: Sequence[str]) -> dict[str, Any]:
    """The mapping without the services, and without what they leave empty."""
    if not path:
        return {key: value for key, value in mapping.items() if key not in services}
    found = {
        key: _less(value, path[1:], services) if str(key).lower() == path[0] else value
        for key, value in mapping.items()
    }
    return {key: value for key, value in found.items() if value != {} or str(key).lower() != path[0]}


def without_services(text: str, services: Sequence[str]) -> str | None:
    """The YAML without these members of ``http.services``, everything else byte for byte; None where that cannot be.

    What would be left empty goes, too: Traefik takes no empty ``services: {}``.
    """
    from deployer.rebuild.documents import nodes

    root = nodes(text)
    http = _entry(root, "http")
    found = _entry(http[1] if http else None, "services")
    if not http or not found:
        return None
    if root is None or not all(_in_lines(text, node) for node in (root, http[1], found[1])):
        return None
    chosen = [pair for pair in found[1].value if pair[0].value in services]
    doomed: set[int] = set()
    for pair in chosen:
        doomed |= _lines_of(text, found[1], pair)
    for inner, outer in ((found, http[1]), (http, root)):
        if len(chosen) < len(inner[1].value):
            break
        doomed.add(inner[0].start_mark.line)
        chosen = [next(pair for pair in outer.value if pair[0] is inner[0])]
    return "".join(line for number, line in enumerate(_split(text)) if number not in doomed)


def _split(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _entry(node: yaml.Node | None, name: str) -> tuple[yaml.ScalarNode, Any] | None:
    """A member of a mapping and its name."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    return next((pair for pair in node.value if str(pair[0].value).lower() == name), None)


def _in_lines(text: str, node: Any) -> bool:
    """Whether it is a mapping in block style with each name first on its line."""
    import yaml

    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        return False
    starts = [key.start_mark.index for key, _ in node.value]
    return all(not text[text.rfind("\n", 0, index) + 1 : index].strip("\ufeff ") for index in starts)


def _lines_of(text: str, mapping: Any, pair: tuple[Any, Any]) -> set[int]:
    """The lines of a member, from its name to before the next; comments and empty lines at the end are not its own."""
    lines = _split(text)
    first, mark = pair[0].start_mark.line, mapping.end_mark
    # What ends a block is the next thing behind it, or the end of the text, which may be in the midst of a line.
    behind = len(lines) if mark.index >= len(text) else mark.line
    end = min((key.start_mark.line for key, _ in mapping.value if key.start_mark.line > first), default=behind)
    while end > first + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith(("#", "---", "..."))):
        end -= 1
    return set(range(first, end))
