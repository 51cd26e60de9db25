"""Moving services out of hand-written files of Traefik: which lines go, what is refused."""

from __future__ import annotations

import pytest

from deployer.errors import InvalidInput
from deployer.plan import Reply
from deployer.rebuild.adoption import Adoption, plan_adoption, without_services
from deployer.rebuild.documents import parse
from deployer.rebuild.traefik import at_rest, make_template, own_services
from deployer.rebuild.watched import Directory, read_directory

BLOG = [("blog", 80)]
ANCHORED = (
    "http:\n  services:\n    blog:\n      loadBalancer:\n        healthCheck: &check {path: /}\n        servers:\n"
)
ANCHORED += "        - url: http://blog\n"

ROUTERS = """\
# Everything on this machine.
http:
  routers:
    to-blog:
      rule: "Host(`example.org`, `www.example.org`) && PathPrefix(`/blog`)"   # version 2's way
      middlewares: [errors, "compress"]
      service: blog
    to-www:
      rule: "HostRegexp(`{subdomain:[a-z]+}.example.org`)"
      service: www

  services:
    # the blog
    blog:
      loadBalancer:
        passHostHeader: true
        servers:
          - url: "http://blog"   # the Compose service

    # the files
    www:
      loadBalancer: {servers: [{url: "http://www"}]}

  middlewares:
    errors:
      errors: {status: ["500-599"], service: www, query: "/{status}.html"}
    compress:
      compress: {}
    auth:
      basicAuth:
        users:
          - "anna:$apr1$x"
"""


def directory(**files: str) -> Directory:
    """Files by their names, in which two underscores stand for a dot and three for a dash."""
    facts = [("proxy_directory", b"/conf"), ("proxy_state", b"ok")]
    for name, text in files.items():
        real = name.replace("___", "-").replace("__", ".")
        facts += [("proxy_file", real.encode()), ("proxy_text", text.encode())]
    found = read_directory(Reply(tuple(facts)))
    assert found is not None
    return found


def adopt(found: Directory, *roll: tuple[str, int]) -> Adoption:
    return plan_adoption(found, "blog", roll or BLOG)


def after(found: Directory, adoption: Adoption) -> Directory:
    """The directory when all is written."""
    texts = {file.name: file.text for file in found.files} | {edit.name: edit.after for edit in adoption.edits}
    return directory(**{name.replace("-", "___").replace(".", "__"): text for name, text in texts.items()})


def test_only_the_lines_of_the_service_go() -> None:
    """Comments, quotes, empty lines, version 2's rules and everything else stay byte for byte."""
    adoption = adopt(directory(routers__yml=ROUTERS))
    (original,) = adoption.originals
    gone = [line for line in ROUTERS.splitlines() if line not in original.after.splitlines()]
    assert gone == [
        "    blog:",
        "      loadBalancer:",
        "        passHostHeader: true",
        "        servers:",
        '          - url: "http://blog"   # the Compose service',
    ]
    kept = [line for line in ROUTERS.splitlines() if line not in gone]
    assert original.after.splitlines() == kept
    assert adoption.own.before is None
    assert "passHostHeader: true" in adoption.own.after


def test_all_services_take_their_key_along() -> None:
    """Traefik takes no empty `services: {}`, which would freeze all of its configuration."""
    (original,) = adopt(directory(routers__yml=ROUTERS), ("blog", 80), ("www", 80)).originals
    assert "services:\n" not in original.after
    assert "    # the blog\n" in original.after
    assert list(parse(original.after)["http"]) == ["routers", "middlewares"]  # type: ignore[index]


def test_a_file_of_nothing_but_the_service_is_left_without_content() -> None:
    """Its comments stay."""
    text = "# mine\nhttp:\n  services:\n    blog:\n      loadBalancer:\n        servers:\n        - url: http://blog"
    assert without_services(text, ["blog"]) == "# mine\n"


def test_adopting_twice_changes_nothing() -> None:
    """What is in deployer's file alone is adopted already."""
    found = directory(routers__yml=ROUTERS)
    again = adopt(after(found, adopt(found)))
    assert (again.services, again.edits) == ((), ())


def test_an_adoption_that_was_cut_short_is_finished() -> None:
    """With the service in both files, it only leaves the original; options are those that Traefik serves: the first's."""
    own = "http:\n  services:\n    blog:\n      loadBalancer:\n        servers:\n        - url: http://blog:80\n"
    adoption = adopt(directory(deployer___blog__yml=own, routers__yml=ROUTERS))
    assert [edit.name for edit in adoption.edits] == ["deployer-blog.yml", "routers.yml"]
    assert "passHostHeader" not in adoption.own.after
    first = adopt(directory(a__yml=ROUTERS, deployer___blog__yml=own))
    assert "passHostHeader" in first.own.after


def test_what_a_kill_left_in_our_file_is_taken_out() -> None:
    """All services have moved, but the last writing was never seen through: it is written once more."""
    found = directory(routers__yml=ROUTERS)
    moved = after(found, adopt(found))
    own = moved.file("deployer-blog.yml")
    assert own is not None
    stamp = '  services:\n    deployer-blog-12ab-3: {loadBalancer: {servers: [{url: "http://127.0.0.1:9"}]}}\n'
    stamped = own.text.replace("  services:\n", stamp)
    again = adopt(directory(deployer___blog__yml=stamped))
    assert (again.services, [edit.name for edit in again.edits]) == ((), ["deployer-blog.yml"])
    assert again.own.after == own.text


def test_every_service_of_the_compose_service_moves() -> None:
    """Two Traefik services may lead to one Compose service; other ports, weighted and mirroring ones stay."""
    text = """\
http:
  services:
    one: {loadBalancer: {servers: [{url: "http://blog"}]}}
    two: {loadBalancer: {servers: [{url: "http://blog:80/", weight: 2}, {url: "http://old"}]}}
    tls: {loadBalancer: {servers: [{url: "https://blog"}]}}
    both: {weighted: {services: [{name: one, weight: 3}, {name: two, weight: 1}]}}
    copy: {mirroring: {service: one, mirrors: [{name: two, percent: 10}]}}
"""
    adoption = adopt(directory(a__yml=text))
    assert adoption.services == ("one", "two")
    (original,) = adoption.originals
    assert list(parse(original.after)["http"]["services"]) == ["tls", "both", "copy"]  # type: ignore[index]
    own = parse(adoption.own.after)["http"]["services"]  # type: ignore[index]
    assert own["two"] == {
        "loadBalancer": {"servers": [{"url": "http://blog:80/", "weight": "2"}, {"url": "http://old"}]}
    }


def test_a_fresh_site_gets_its_service() -> None:
    """Where no file leads to the Compose service, deployer's file defines it under its name."""
    adoption = adopt(directory(other__yml="http:\n  middlewares:\n    x:\n      compress: {}\n"))
    assert (adoption.services, adoption.originals) == (("blog",), ())
    assert '          - url: "http://blog:80"\n' in adoption.own.after
    with pytest.raises(InvalidInput, match="does not lead to blog:81"):
        adopt(directory(routers__yml=ROUTERS), ("blog", 81))


def test_toml_is_moved_by_hand() -> None:
    """The message has the text that belongs into deployer's file."""
    text = '[http.services.blog.loadBalancer]\n[[http.services.blog.loadBalancer.servers]]\nurl = "http://blog"\n'
    with pytest.raises(InvalidInput, match="is TOML, which deployer does not edit") as caught:
        adopt(directory(a__toml=text))
    assert "      loadBalancer:\n        servers:\n          - url: http://blog\n" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        'http: {services: {blog: {loadBalancer: {servers: [{url: "http://blog"}]}}}, middlewares: {x: {compress: {}}}}\n',
        f"{ANCHORED}    other:\n      loadBalancer: {{healthCheck: *check, servers: [{{url: http://x}}]}}\n",
    ],
    ids=["one line", "an anchor that others use"],
)
def test_what_cannot_be_cut_out_is_left_alone(text: str) -> None:
    """Where lines cannot go without harm to others, nothing is written and a person is asked to do it."""
    with pytest.raises(InvalidInput, match=r"blog cannot be taken out of /conf/a\.yml") as caught:
        plan_adoption(directory(a__yml=text + ("      # end\n")), "blog", BLOG)
    assert "by hand" in caught.value.hint or "by hand" in caught.value.message


@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end", "\n...\n", "\r\n"])
def test_the_last_block_of_a_file_goes_up_to_its_end(end: str) -> None:
    """With and without a line break there, with a comment behind it, with another system's line breaks."""
    text = "http:\n  services:\n    a:\n      loadBalancer:\n        servers:\n        - url: http://a\n    blog:\n"
    text += "      loadBalancer:\n        servers:\n        - url: http://blog" + end
    (original,) = adopt(directory(a__yml=text)).originals
    rest = end.removeprefix("\r").removeprefix("\n")
    assert original.after == text[: text.index("    blog:")] + rest


def test_a_definition_elsewhere_that_wins_is_refused() -> None:
    """A file that comes first and sends the same Traefik service elsewhere would win over deployer's."""
    rival = "http:\n  services:\n    blog: {loadBalancer: {servers: [{url: http://elsewhere}]}}\n"
    with pytest.raises(InvalidInput, match="a.yml sends it elsewhere"):
        adopt(directory(a__yml=rival, routers__yml=ROUTERS))


def test_what_the_host_writes_at_rest_is_what_was_shown() -> None:
    """Options, order and every text of a template come back as they were read."""
    own = "http:\n  services:\n    blog:\n      loadBalancer:\n"
    own += '        healthCheck: {interval: 10s, headers: {X: "on", Y: yes}}\n'
    own += "        servers:\n        - url: http://blog\n          weight: 0x1F\n"
    found = directory(deployer___blog__yml=own)
    text = at_rest(make_template(found, "blog", BLOG, own_services(found, "blog")))
    assert parse(text) == parse(own)
    assert 'X: "on"' in text or "X: 'on'" in text
    assert ("Y: yes" in text, "weight: 0x1F" in text) == (True, True)
