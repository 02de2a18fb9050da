"""Wires the parts of the web face into one application."""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from running_jobs.settings import PROJECT, Settings
from running_jobs.web import (
    api,
    auth,
    compression,
    dates,
    kept_pages,
    log_files,
    log_routes,
    metrics,
    pages,
    queue_api,
    responses,
    selection,
    sending,
    worker_api,
)
from running_jobs.web.openapi import routes as openapi_routes
from running_jobs.web.parts import Parts
from running_jobs.web.prefix import Prefix

MAX_BODY_BYTES = 4 << 20


def build_app(settings: Settings) -> Flask:
    """Wire the parts into an application. Starts nothing: no thread, no dispatcher."""
    app = Flask("running_jobs", root_path=PROJECT, static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # a record reads best in the order of its file
    parts = Parts(settings)
    parts.store.prepare()
    app.extensions["running_jobs"] = parts
    auth.guard(app, parts)
    dates.pass_over_wrong_dates(app)
    responses.handle_errors(app, parts.store.refuse_if_gone)
    sending.send_long_answers_from_files(app)  # after they were compressed: the last named is the first to be asked
    compression.compress(app)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(selection.blueprint)
    app.register_blueprint(kept_pages.blueprint)
    app.register_blueprint(queue_api.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(worker_api.blueprint)
    app.register_blueprint(log_files.blueprint)
    app.register_blueprint(log_routes.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(openapi_routes.blueprint)
    hops = settings.trusted_proxies
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_port=hops, x_prefix=hops)  # type: ignore[method-assign]
    if settings.url_prefix:
        app.wsgi_app = Prefix(app.wsgi_app, settings.url_prefix)  # type: ignore[method-assign]
    return app
