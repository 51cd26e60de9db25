"""The Flask application: which parts it has and what they share."""

from __future__ import annotations

from flask import Flask

from receiver.web import health, hook
from receiver.web.dashboard import register
from receiver.web.metrics import blueprint as metrics
from receiver.web.world import World

__all__ = ["create_app"]


def create_app(world: World) -> Flask:
    """The application of one process. Dashboard and API exist only where ``[login]`` says who may use them."""
    app = Flask(__name__, static_folder=None)
    app.extensions["receiver"] = world
    app.secret_key = world.session_key
    for part in (hook, health):
        part.set_up(app)
    for blueprint in (hook.blueprint, health.blueprint, metrics):
        app.register_blueprint(blueprint)
    register(app, world)
    return app
