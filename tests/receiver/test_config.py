"""receiver.toml: what is read, and what is said about each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.secret import Secret
from receiver.config import ReceiverConfig, SecretBox, load, read_secrets
from receiver.errors import InvalidConfig
from receiver.secrets import hash_token, new_key, new_token, new_webhook_secret

APP = '[apps.blog]\nrepository = "octo/blog"\nconfig = "blog.toml"\nsecrets = [{ env = "BLOG" }]\n'


def read(tmp_path: Path, text: str) -> ReceiverConfig:
    file = tmp_path / "receiver.toml"
    file.write_text(text, "utf-8")
    return load(file)


def test_the_designs_example_is_valid(tmp_path: Path) -> None:
    """Every key of it has its meaning, and paths start from the file's folder."""
    config = read(
        tmp_path,
        """
        state_dir = "state"
        database = "postgresql://u@h/d"
        bind = "127.0.0.1:9000"
        concurrency = 2
        trusted_proxies = ["127.0.0.1/32"]
        retention = { deliveries_days = 30, logs_days = 90 }
        [login]
        password_hash = { file = "hash" }
        tokens = [{ name = "laptop", hash = "sha256:%s" }]
        [github]
        app_id = 7
        private_key = { file = "key.pem" }
        [apps.blog]
        repository = "changkun/blog"
        events = ["push", "workflow_run"]
        refs = ["refs/heads/main", "refs/tags/v*"]
        secrets = [{ env = "BLOG_WEBHOOK_SECRET" }, { file = "old" }]
        config = "blog.toml"
        clone_url = "https://github.com/changkun/blog.git"
        artifact = { workflow = "build.yml", name = "site" }
        variables = { DEPLOYER_KEY = { file = "id" }, NODE_ENV = "production" }
        """
        % ("0" * 64),
    )
    assert config.state_dir == str(tmp_path / "state")
    assert config.apps["blog"].config == str(tmp_path / "blog.toml")
    assert config.apps["blog"].secrets[1].file == str(tmp_path / "old")
    assert config.database_url == "postgresql://u@h/d"


def test_without_a_database_it_is_sqlite_in_the_state_folder(tmp_path: Path) -> None:
    """And commits come from GitHub."""
    config = read(tmp_path, f'state_dir = "s"\n{APP}')
    assert config.database_url == f"sqlite:///{tmp_path}/s/receiver.db"
    assert config.apps["blog"].remote == "https://github.com/octo/blog.git"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing required field `apps`"),
        ("x = ", "is not TOML"),
        ("[apps]", "apps is empty"),
        (APP.replace("repository", "repositroy"), "unknown key apps.*.repositroy; did you mean repository?"),
        (APP + "[github]\napi_ulr = 1", "unknown key github.api_ulr; did you mean api_url?"),
        (APP + "timeout = 0", "Expected `int` >= 1 - at `apps.*.timeout`"),
        (APP + 'refs = ["main"]', "apps.blog.refs: 'main' is no full name such as refs/heads/main"),
        (APP + 'events = ["pull_request"]', "Invalid enum value 'pull_request'"),
        (APP + 'events = ["workflow_run"]', "the event workflow_run and the table artifact need each other"),
        (APP.replace("octo/blog", "blog"), "apps.blog.repository: 'blog' is not OWNER/NAME"),
        (APP.replace("apps.blog", "apps.Blog"), "apps.Blog: a name is lower-case letters"),
        (
            APP.replace('[{ env = "BLOG" }]', "[]"),
            "apps.blog.secrets is empty: without a secret nobody could be believed",
        ),
        (APP.replace('env = "BLOG"', 'env = "A", file = "b"'), "apps.blog.secrets[0]: give exactly one of env, file"),
        (APP.replace('env = "BLOG"', ""), "apps.blog.secrets[0]: give exactly one of env, file"),
        (APP + 'clone_url = "--upload-pack=x"', "is no URL"),
        (APP + 'variables = { "A B" = "x" }', "'A B' is no variable's name"),
        ('trusted_proxies = ["10.0.0.0/33"]\n' + APP, "trusted_proxies: '10.0.0.0/33' is no network"),
        (APP + "[login]\n", "login is empty"),
        (APP + '[login]\ntokens = [{ name = "x", hash = "plain" }]', "the hash of 'x' is not sha256:"),
        (APP + "[github]\napp_id = 1", "github.app_id needs github.private_key"),
    ],
)
def test_each_mistake_is_one_message(tmp_path: Path, text: str, words: str) -> None:
    """It names the file, the key and what was expected."""
    with pytest.raises(InvalidConfig) as found:
        read(tmp_path, text)
    assert found.value.message.startswith(str(tmp_path)) and words in found.value.message


def secrets_of(tmp_path: Path, source: str, variables: dict[str, str], more: str = "") -> Any:
    config = read(tmp_path, more + APP.replace('env = "BLOG"', source))
    return read_secrets(config, variables).webhook["blog"][0].reveal()


def test_secrets_come_from_variables_and_files_without_their_line_ends(tmp_path: Path) -> None:
    """As editors and secret stores leave them."""
    (tmp_path / "file").write_text("from a file\r\n", "utf-8")
    assert secrets_of(tmp_path, 'env = "BLOG"', {"BLOG": "from a variable\n"}) == "from a variable"
    assert secrets_of(tmp_path, 'file = "file"', {}) == "from a file"


def test_encrypted_secrets_are_read_with_any_of_the_keys(tmp_path: Path) -> None:
    """So keys can be changed one at a time; with another key, nothing is read."""
    old, new, other = new_key(), new_key(), new_key()
    token = SecretBox((Secret(old),)).encrypt(Secret("hidden"))
    more = 'secrets_key = { env = "KEY" }\n'
    assert secrets_of(tmp_path, f'encrypted = "{token}"', {"KEY": f"{new}\n{old}\n"}, more) == "hidden"
    for keys in (other, "no key at all"):
        with pytest.raises(InvalidConfig) as found:
            secrets_of(tmp_path, f'encrypted = "{token}"', {"KEY": keys}, more)
        assert "hidden" not in str(found.value) and token not in str(found.value)
    with pytest.raises(InvalidConfig, match="there is no secrets_key"):
        secrets_of(tmp_path, f'encrypted = "{token}"', {})


@pytest.mark.parametrize(
    ("source", "words"), [('env = "NONE"', "no variable NONE"), ('file = "none"', "cannot be read")]
)
def test_a_secret_that_is_missing_stops_the_start(tmp_path: Path, source: str, words: str) -> None:
    """Fail closed: without its secret an app would believe nobody, and somebody should know."""
    with pytest.raises(InvalidConfig, match=words):
        secrets_of(tmp_path, source, {})


def test_an_empty_secret_stops_the_start(tmp_path: Path) -> None:
    """An empty variable is a mistake of whoever sets it."""
    with pytest.raises(InvalidConfig, match="is empty"):
        secrets_of(tmp_path, 'env = "BLOG"', {"BLOG": "\n"})


def test_new_secrets_are_random_and_tokens_are_known_by_their_hash() -> None:
    """Nothing is made twice."""
    token, hashed = new_token()
    assert hash_token(token) == hashed and token not in hashed
    assert len({new_webhook_secret().reveal() for _ in range(20)}) == 20
