"""The OpenAPI document and a page to try it, with no file from the internet."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from control_plane.api import openapi
from control_plane.api.visit import principal_of
from control_plane.pipeline import Pipeline
from control_plane.types import ModelRef

_ASSETS: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidegate API</title>
<link rel="icon" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@get("/openapi.json", sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """The OpenAPI document of the models that the caller may use."""
    pipeline = state.services.pipeline
    principal = principal_of(request)
    visible = frozenset(
        ref for ref in pipeline.offer.contracts if pipeline.rights.is_visible(principal, ref)
    )
    return Response(
        _document(pipeline, pipeline.offer.edition, visible), media_type="application/json"
    )


@lru_cache(maxsize=64)
def _document(pipeline: Pipeline, _edition: int, visible: frozenset[ModelRef]) -> bytes:
    return msgspec.json.encode(openapi.document(pipeline, visible))


@get("/docs", sync_to_thread=False)
def docs_page() -> Response[str]:
    """The interactive reference."""
    headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}
    return Response(_PAGE, media_type="text/html", headers=headers)


@get("/docs/assets/{name:str}", sync_to_thread=False)
def docs_asset(name: FromPath[str]) -> Response[bytes]:
    """A file of the reference page, from the swagger-ui release that a package carries."""
    headers = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}
    if name == "start.js":
        return Response(_START.encode(), media_type="text/javascript", headers=headers)
    if name not in _ASSETS:
        raise NotFoundException
    return Response((_folder() / name).read_bytes(), media_type=_ASSETS[name], headers=headers)


def _folder() -> Path:
    """Where the package flask-swagger-ui keeps swagger-ui; it is not imported."""
    spec = find_spec("flask_swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise NotFoundException
    return Path(spec.submodule_search_locations[0]) / "dist"
