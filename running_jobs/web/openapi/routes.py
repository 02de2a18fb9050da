"""The route that sends the description of the API. It is made once, when it is first asked for."""

from __future__ import annotations

import json

from flask import Blueprint, Flask, Response, current_app, request

from running_jobs.web.auth import OPEN_TO_ALL
from running_jobs.web.openapi.document import document_of
from running_jobs.web.parts import parts

KEPT = 8  # one for each prefix: a proxy may say several

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
def show_document() -> Response:
    """Describe this API, in OpenAPI 3.1."""
    known: dict[str, bytes] = current_app.extensions.setdefault("running_jobs.openapi", {})
    prefix = request.script_root
    content = known.get(prefix)
    if content is None:
        if len(known) >= KEPT:
            known.clear()
        content = known[prefix] = _content(prefix)
    answer = Response(content, content_type="application/json")
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    answer.make_conditional(request)
    return answer


def _content(prefix: str) -> bytes:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    settings = parts().settings
    document = document_of(app, bool(settings.user or settings.users), OPEN_TO_ALL)
    document["servers"] = [{"url": prefix or "/"}]
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
