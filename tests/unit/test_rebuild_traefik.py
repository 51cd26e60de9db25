"""Traefik's directory as values: who defines what, what a template is, and what `deployer check` says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.config import Config, load
from deployer.errors import InvalidInput
from deployer.finding import Finding, State
from deployer.plan import Reply
from deployer.rebuild.documents import MalformedError, dump, parse
from deployer.rebuild.traefik import template_for
from deployer.rebuild.traefik_checks import traefik_findings
from deployer.rebuild.watched import Address, read_directory

OWN = "deployer-blog.yml"
BLOG = "http:\n  services:\n    blog:\n      loadBalancer:\n        servers:\n        - url: http://blog\n"


def reply(files: dict[str, str | bytes], **facts: str) -> Reply:
    told = [("proxy_directory", b"/conf"), ("proxy_state", facts.pop("state", "ok").encode())]
    for name, text in files.items():
        told += [("proxy_file", name.encode()), ("proxy_text", text if isinstance(text, bytes) else text.encode())]
    told += [(f"proxy_{name}", text.encode()) for name, text in facts.items()]
    return Reply(tuple(told))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


def configured(folder: Path, **flags: object) -> Config:
    given: dict[str, object] = {
        "app": "blog",
        "strategy": "rebuild",
        "host": ("local",),
        "rebuild.path": "/srv/blog",
        "rebuild.roll": ("blog:80",),
        "traefik.directory": "/conf",
        "traefik.api": "http://127.0.0.1:8080",
    }
    given |= {name.replace("__", "."): value for name, value in flags.items()}
    return load(None, flags=given, variables={}, directory=folder)


def findings(config: Config, files: dict[str, str | bytes], **facts: str) -> list[Finding]:
    return list(traefik_findings(config, reply(files, **{"api": "ok", "version": "3.7.15"} | facts)))


def faults(config: Config, files: dict[str, str | bytes], **facts: str) -> list[tuple[State, str]]:
    return [(each.state, each.found) for each in findings(config, files, **facts) if each.state is not State.OK]


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://blog", "blog", 80),
        ("http://blog:80", "blog", 80),
        ("http://blog/", "blog", 80),
        ("https://blog", "blog", 443),
        ("h2c://blog:8080", "blog", 8080),
        ("HTTP://blog", "blog", 80),
    ],
)
def test_addresses_have_a_port(url: str, host: str, port: int) -> None:
    """Without one it is the scheme's, and the parts make up the same text again."""
    address = Address.of(url)
    assert address is not None
    assert (address.host, address.port, f"{address.before}{address.host}{address.after}") == (host, port, url)


@pytest.mark.parametrize("url", ["blog", "http://[::1]:80", "http://u@blog", "", None, 7])
def test_what_is_no_address_of_a_compose_service_is_none(url: object) -> None:
    """Such a server stays as it is."""
    assert Address.of(url) is None


def test_files_stand_in_traefiks_order() -> None:
    """A directory is sorted among the files by its own name, not by the path as a whole."""
    found = read_directory(reply({"a.yml": "", "a/z.yml": "", "B.yml": "", "a-b.yml": ""}))
    assert found is not None
    assert [file.name for file in found.files] == ["B.yml", "a/z.yml", "a-b.yml", "a.yml"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.yml", "http: {", "line 1: "),
        ("a.yml", "http:\n  a: 1\n  a: 2\n", "line 3: the key 'a' stands there twice"),
        ("a.yml", "\tx: 1", "line 1: "),
        ("a.yml", "- 1\n", "it is no mapping"),
        ("a.yml", b"\xff\xfe\x00", "it is not UTF-8"),
        ("a.yml", "http:\n  services: {}\n", "Traefik refuses an empty http.services: {}"),
        ("a.yml", "http: {}\n", "Traefik refuses an empty http: {}"),
        ("a.toml", "[http", ""),
        ("a.yml", "{{ range $i := until 3 }}\na: 1\n{{ end }}\n", "which only Traefik can read"),
    ],
)
def test_what_traefik_cannot_read_has_a_reason(name: str, text: str | bytes, problem: str) -> None:
    """The reason names the line where there is one."""
    found = read_directory(reply({name: text}))
    assert found is not None
    assert found.files[0].problem
    assert problem in found.files[0].problem


@pytest.mark.parametrize("text", ["", "# nothing\n", "http:\n", "http:\n  services:\n", "tls: {certificates: []}\n"])
def test_what_traefik_reads_has_no_problem(text: str) -> None:
    """Files without content are no mistake."""
    found = read_directory(reply({"a.yml": text}))
    assert found is not None
    assert found.files[0].problem == ""


@pytest.mark.parametrize(
    "text",
    [
        'a: "2"\nb: 2\nc: "on"\nd: on\ne: 1.0\nf: "1.0"\ng: 2026-11-23\nh: 0x10\ni: ~\nj: ""\nk: 10s\n',
        'x: &x {a: 1}\ny:\n  <<: *x\n  b: "{{ env `X` }}"\nz: [a, "b c", {d: e}]\nlong: "' + "word " * 60 + '"\n',
        "a: |\n  two\n  lines\nb: >-\n  folded\n  text\nc: 'it''s'\n\"q: r\": Host(`a`)\n",
    ],
)
def test_values_keep_what_they_are(text: str) -> None:
    """What is quoted stays a text, and what is not stays what Traefik takes it for."""
    data = parse(text)
    assert parse(dump(data)) == data
    written = {line.strip() for line in dump(data).splitlines()}
    plain = {"b: 2", "d: on", "e: 1.0", "g: 2026-11-23", "h: 0x10", "k: 10s"}
    if "k: 10s" in text:
        assert plain <= written
        assert not {"a: 2", "c: on", "f: 1.0"} & written


def test_yaml_that_makes_objects_is_refused() -> None:
    """A tag of Python's is no YAML of Traefik's."""
    with pytest.raises(MalformedError, match="line 1"):
        parse("a: !!python/object/apply:os.system ['true']\n")


def test_a_template_is_made_when_ours_alone_decides(config: Config) -> None:
    """The servers of the Compose service become lines for its containers; the API is told apart from what is written."""
    lines = template_for(config, reply({OWN: BLOG})).splitlines()
    assert lines[0].startswith("\th\t")
    assert '\ts\tblog\t          - url: "http://\t"' in lines
    assert lines[-2:] == ["\tt\tblog", "\tu\tblog\thttp://\t"]
    assert not [line for line in lines if "acknowledge" in line]


def test_an_entry_point_gets_routers_for_a_while(tmp_path: Path) -> None:
    """One without TLS, and one with it where the entry point's URL has it."""
    for entry_point, count in (("http://127.0.0.1:80", 1), ("https://127.0.0.1:443", 2)):
        config = configured(tmp_path, traefik__entry_point=entry_point, traefik__api="")
        template = template_for(config, reply({OWN: BLOG}))
        assert template.count("noop@internal") == count


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no file in /conf has a Traefik service with the server http://blog:80"),
        ({"routers.yml": BLOG}, "defined in /conf/routers.yml, which deployer does not write"),
        ({"a.yml": BLOG, OWN: BLOG}, "defined in /conf/a.yml and in deployer-blog.yml, and it takes the first"),
        (
            {OWN: BLOG, "z.yml": BLOG.replace("blog:", "more:")},
            "Traefik's service more of blog:80 is defined in /conf/z.yml",
        ),
        ({OWN: "http: {"}, "/conf/deployer-blog.yml cannot be read: line 1"),
        ({OWN: BLOG.replace("http://blog", "http://blog:3000")}, "no file in /conf has a Traefik service"),
    ],
)
def test_a_template_needs_an_adopted_service(files: dict[str, str | bytes], message: str, config: Config) -> None:
    """Otherwise a run ends before anything is changed, and says which command mends it."""
    with pytest.raises(InvalidInput) as caught:
        template_for(config, reply(files))
    assert message in caught.value.message
    assert "deployer proxy adopt" in caught.value.hint or "by hand" in caught.value.hint


def test_a_second_definition_behind_ours_does_no_harm(config: Config) -> None:
    """Traefik takes the first: a run goes on, and check warns."""
    files: dict[str, str | bytes] = {OWN: BLOG, "routers.yml": BLOG}
    assert template_for(config, reply(files))
    assert faults(config, files) == [
        (State.WARNING, "the service blog is defined in deployer-blog.yml and in routers.yml; Traefik takes the first")
    ]


def test_check_is_content_with_an_adopted_service(config: Config) -> None:
    """What is sent where, and Traefik's version."""
    found = findings(config, {OWN: BLOG, "routers.yml": "http:\n  routers:\n    a: {rule: Path(`/`), service: blog}\n"})
    assert [(each.state, each.found) for each in found] == [
        (State.OK, "/conf/deployer-blog.yml sends blog to blog:80"),
        (State.OK, "version 3.7.15 answers at http://127.0.0.1:8080"),
    ]


def test_check_finds_what_keeps_changes_out(config: Config) -> None:
    """A malformed file, a file mounted by itself, a service that is not adopted, an API that does not answer."""
    told = faults(config, {"a.yml": "http: {", "b.yml": BLOG}, mount="traefik /conf/b.yml", api="down")
    assert [state for state, _ in told] == [State.ERROR] * 4
    for (_, found), part in zip(
        told,
        ["so Traefik follows no change", "by itself into the container traefik", "in /conf/b.yml", "does not answer"],
        strict=True,
    ):
        assert part in found


@pytest.mark.parametrize(("api", "part"), [("401", "wants a password"), ("404", "answers with status 404")])
def test_check_says_how_the_api_answers(api: str, part: str, tmp_path: Path) -> None:
    """With an entry point to ask instead, it is only a warning."""
    files: dict[str, str | bytes] = {OWN: BLOG}
    ((state, found),) = faults(configured(tmp_path), files, api=api)
    assert (state, part in found) == (State.ERROR, True)
    ((state, _),) = faults(configured(tmp_path, traefik__entry_point="http://127.0.0.1:80"), files, api=api)
    assert state is State.WARNING


@pytest.mark.parametrize("state", ["absent", "unreadable", "unwritable"])
def test_check_looks_at_the_directory_itself(state: str, config: Config) -> None:
    """One that is not there, or not ours to write."""
    assert faults(config, {OWN: BLOG} if state == "unwritable" else {}, state=state)[0][0] is State.ERROR
    with pytest.raises(InvalidInput, match="/conf on the host"):
        template_for(config, reply({OWN: BLOG}, state=state))


def test_without_traefik_check_says_nothing(tmp_path: Path) -> None:
    """Compose's DNS is another's matter."""
    config = configured(tmp_path, traefik__directory="", traefik__api="")
    assert findings(config, {}) == []
