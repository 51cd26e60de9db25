"""What a rendered Compose project says of its services, and why some of them cannot roll."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployer.errors import DeployFailed
from deployer.plan import Reply
from deployer.rebuild.services import Port, Service, Volume, cautions, obstacles, read_services, remarks
from deployer.rebuild.space import check_space


def outline(**services: dict[str, Any]) -> str:
    """As the host sends it."""
    return json.dumps({"name": "blog", "networks": {"default": {"name": "blog_default"}}, "services": services})


def one(**given: Any) -> Service:
    """The only service of a project."""
    (service,) = read_services(outline(blog={"image": "main:latest"} | given))
    return service


def test_the_bloggers_service_can_roll() -> None:
    """`restart: always`, one replica, an external network, no ports, no health check."""
    service = one(restart="always", deploy={"replicas": 1}, networks={"traefik_proxy": None})
    assert service == Service("blog", "main:latest", networks=("traefik_proxy",))
    assert (obstacles(service), remarks(service)) == ((), ())


def test_everything_that_a_roll_asks_for_is_read() -> None:
    """In the forms of Compose 2, old and new."""
    service = one(
        build=True,
        deploy={"replicas": 3, "mode": "replicated"},
        ports=[{"mode": "ingress", "target": 80, "published": "8000-8010", "protocol": "udp"}],
        volumes=[
            {"type": "bind", "source": "/srv/data", "target": "/data", "read_only": True},
            {"type": "tmpfs", "target": "/t"},
        ],
        devices=["/dev/one:/dev/1:rwm", {"source": "/dev/two", "target": "/dev/2"}],
        healthcheck={"interval": "5s"},
        stop_grace_period="1m30s",
    )  # fmt: skip
    assert (service.built, service.replicas, service.checked, service.stop_grace_period) == (True, 3, True, "1m30s")
    assert service.ports == (Port("8000-8010", "80", "udp"),)
    assert service.volumes == (Volume("bind", "/srv/data", "/data", read_only=True), Volume("tmpfs", "", "/t"))
    assert service.devices == ("/dev/one", "/dev/two")


@pytest.mark.parametrize(
    ("given", "replicas"), [({}, 1), ({"scale": 2}, 2), ({"deploy": {}}, 1), ({"deploy": {"replicas": 0}}, 0)]
)
def test_the_number_of_replicas(given: dict[str, Any], replicas: int) -> None:
    """As Compose counts them; none given is one."""
    assert one(**given).replicas == replicas


@pytest.mark.parametrize(("health", "checked"), [(None, False), ({"disable": True}, False), ({"interval": "5s"}, True)])
def test_a_health_check_that_is_switched_off_is_none(health: dict[str, Any] | None, checked: bool) -> None:
    """`disable: true`, which the host also sends for `test: NONE`."""
    assert one(healthcheck=health).checked is checked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"container_name": "blog"}, ["container_name: blog", "remove that line", "reach the service as blog"]),
        ({"ports": [{"target": 80, "published": "8080"}]}, ["host's port 8080:80", "remove `ports`"]),
        ({"ports": [{"target": 80, "published": 8080}]}, ["host's port 8080:80"]),
        ({"ports": [{"target": 80, "published": "8000-8000"}]}, ["host's port"]),
        ({"deploy": {"replicas": 3}, "ports": [{"target": 80, "published": "8000-8004"}]}, ["host's port"]),
        ({"network_mode": "host"}, ["network_mode: host", "give it a network"]),
        ({"network_mode": "none"}, ["without a network"]),
        ({"network_mode": "container:abc"}, ["in abc's network"]),
        ({"networks": {"a": {"ipv4_address": "172.20.0.5"}}}, ["fixed address 172.20.0.5", "use the service's name"]),
        ({"networks": {"a": {"ipv6_address": "fd00::5"}}}, ["fixed address fd00::5"]),
        ({"mac_address": "02:42:ac:11:65:43"}, ["fixed address 02:42:ac:11:65:43"]),
        ({"deploy": {"mode": "global"}}, ["deploy.mode: global"]),
        ({"deploy": {"mode": "replicated-job"}}, ["deploy.mode: replicated-job"]),
        ({"deploy": {"replicas": 0}}, ["no replicas"]),
        ({"image": "main:"}, ['its image is "main:"', ".env"]),
        ({"image": ""}, ["a variable in the Compose file is not set"]),
        ({"image": "mongo:6"}, ["is a database (mongo:6)", "take it out of `roll`"]),
        ({"image": "docker.io/library/postgres@sha256:abc"}, ["is a database"]),
        ({"image": "registry.local:5000/team/redis:7"}, ["is a database"]),
    ],
)
def test_what_makes_a_roll_impossible_is_told_with_the_mend(given: dict[str, Any], words: list[str]) -> None:
    """One reason each, in one sentence."""
    (obstacle,) = obstacles(one(**given))
    assert all(word in obstacle for word in words), obstacle


@pytest.mark.parametrize(
    "given",
    [
        {"ports": [{"target": 80}]},
        {"ports": [{"target": 80, "published": "0"}]},
        {"ports": [{"target": 80, "published": "8000-8001"}]},
        {"networks": {"a": {"aliases": ["www"]}, "b": None}},
        {"hostname": "blog"},
        {"image": "", "build": True},
        {"image": "redis-proxy:1"},
        {"volumes": [{"type": "volume", "source": "uploads", "target": "/u"}]},
        {"stop_signal": "SIGKILL"},
        {"network_mode": "bridge"},
    ],
)
def test_what_two_containers_can_share_is_no_obstacle(given: dict[str, Any]) -> None:
    """A free port each, networks, volumes that any number of containers may mount."""
    assert obstacles(one(**given)) == ()


def test_several_obstacles_are_all_told() -> None:
    """So that one look at the Compose file mends them."""
    found = obstacles(one(container_name="db", image="mongo", ports=[{"target": 27017, "published": "27017"}]))
    assert [word in text for word, text in zip(("container_name", "27017", "database"), found, strict=True)] == [
        True
    ] * 3


def test_a_service_in_anothers_network_holds_that_one() -> None:
    """`network_mode: service:blog` binds it to one container of blog."""
    blog, log = read_services(outline(blog={"image": "a"}, log={"image": "b", "network_mode": "service:blog"}))
    assert "log runs in its network" in obstacles(blog)[0]
    assert "in blog's network" in obstacles(log)[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"volumes": [{"type": "bind", "source": "/srv/up", "target": "/u"}]}, "both write to /srv/up"),
        ({"volumes": [{"type": "volume", "target": "/cache"}]}, "volume at /cache has no name"),
        ({"devices": ["/dev/ttyUSB0:/dev/ttyUSB0:rwm"]}, "two containers open /dev/ttyUSB0"),
    ],
)
def test_what_only_the_author_can_judge_is_a_remark(given: dict[str, Any], words: str) -> None:
    """Shared data, data that a roll leaves behind, devices."""
    service = one(**given)
    assert obstacles(service) == ()
    (remark,) = remarks(service)
    assert words in remark
    assert remark.startswith("blog: ")


def test_cautions_are_of_what_is_rolled() -> None:
    """A variable that only `up` has would be empty in containers that a roll starts; without a roll `up` has it."""
    volumes = [{"type": "bind", "source": "/srv", "target": "/data"}]
    services = read_services(outline(blog={"image": "a", "volumes": volumes}, db={"image": "b", "volumes": volumes}))
    shared, unset = cautions(services, ["blog"], ["TOKEN", "KEY"])
    assert shared.startswith("blog: ")
    assert "uses KEY, TOKEN, not set" in unset
    assert cautions(services, [], ["TOKEN"]) == ()


def test_read_only_volumes_and_tmpfs_need_no_remark() -> None:
    """Nobody writes there, or nobody else reads it."""
    volumes = [
        {"type": "bind", "source": "/etc/x", "target": "/x", "read_only": True},
        {"type": "tmpfs", "target": "/t"},
    ]
    assert remarks(one(volumes=volumes)) == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"services": {"a": 1}}', '{"services": {"a": {"ports": [{}]}}}'])
def test_an_outline_of_another_form_is_an_error(text: str) -> None:
    """With the command that shows it; never a traceback."""
    with pytest.raises(DeployFailed, match="renders the project in a form") as raised:
        read_services(text)
    assert "docker compose config" in raised.value.hint


def test_no_outline_has_no_services() -> None:
    """No Compose file, or an invalid one, which is told elsewhere."""
    assert read_services("") == ()


def facts(free: int | None, *images: str) -> Reply:
    """The host's, with ``free`` kilobytes."""
    said = [("image", image.encode()) for image in images] + [("docker_root", b"/var/lib/docker")]
    return Reply((*said, *([("docker_free_kilobytes", str(free).encode())] if free is not None else [])))


def test_the_disk_must_have_room_for_what_is_built_or_rolled() -> None:
    """Each live image once; what is only pulled does not count."""
    services = read_services(
        outline(blog={"build": True}, job={"build": True, "image": "main"}, db={"image": "mongo:6"})
    )
    images = ("blog sha256:1 main 600000000", "job sha256:1 main 600000000", "db sha256:2 mongo:6 800000000")
    check_space(facts(600_000, *images), services, ())
    with pytest.raises(
        DeployFailed, match=r"\(/var/lib/docker\) has 512 MB free.*may take 600 MB.*\(blog 600 MB\)"
    ) as error:
        check_space(facts(500_000, *images), services, (), "web1")
    assert str(error.value).startswith("web1: the disk")
    assert "docker system df" in error.value.hint
    with pytest.raises(DeployFailed, match="may take 1,400 MB"):
        check_space(facts(600_000, *images), services, {"db"})


@pytest.mark.parametrize("reply", [facts(None, "blog sha256:1 main 600000000"), facts(1)])
def test_what_cannot_be_judged_is_not_judged(reply: Reply) -> None:
    """Docker's data on another machine; nothing that runs yet."""
    check_space(reply, read_services(outline(blog={"build": True})), {"blog"})
