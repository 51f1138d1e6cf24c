"""The description of the interface at /openapi: what its operations have in common.

Routes say what is their own: parameters, `takes` for a body, `gives` for an answer other than
200 with JSON.
"""

from http import HTTPStatus
from typing import Any

from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field

JSON = "application/json"
BINARY = "application/octet-stream"

# any operation may answer so, depending on who asks for what
ERRORS = (400, 401, 403, 404, 405, 406, 409, 410, 413, 422, 501, 503)


Responses = dict[str | int | HTTPStatus, Any]


class Error(BaseModel):
    """Every error has this shape."""

    code: int = Field(description="The status, again")
    message: str = Field(description="What is wrong")
    hint: str | None = Field(description="What to do next")


class Parameters(BaseModel):
    """What a query string may say, on routes where it must not cost much.

    flask-openapi3 makes the schema anew with each request, to see which parameters are lists.
    """

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        known = _SCHEMAS.get(cls)
        if args or kwargs or known is None:
            made = super().model_json_schema(*args, **kwargs)
            return made if args or kwargs else _SCHEMAS.setdefault(cls, made)
        return known


_SCHEMAS: dict[type[Parameters], dict[str, Any]] = {}


class DescribedOpenAPI(OpenAPI):
    """An application that tells of every operation how it answers when it cannot."""

    @property
    def api_doc(self) -> dict[str, Any]:
        if not self.spec_json:
            told = super().api_doc
            components = told.setdefault("components", {})
            components.setdefault("schemas", {}).pop(self.validation_error_model.__name__, None)
            components["schemas"][Error.__name__] = Error.model_json_schema()
            components["responses"] = {str(code): _error(code) for code in ERRORS}
            for path in told["paths"].values():
                for operation in path.values():
                    _complete(operation)
        return self.spec_json


def takes(schema: type[BaseModel] | dict[str, Any], kind: str = JSON) -> dict[str, Any]:
    """The body of an operation, for its `openapi_extensions`."""
    told = schema if isinstance(schema, dict) else schema.model_json_schema()
    described = told.get("description", "The body")
    return {"requestBody": {"description": described, "content": {kind: {"schema": told}}}}


def gives(*kinds: str, code: int = 200, others: tuple[int, ...] = ()) -> Responses:
    """The media types of an answer, for an operation's `responses`; `others` have no body."""
    content: dict[str, Any] = {kind: {} for kind in kinds}
    told: Responses = {code: {"description": HTTPStatus(code).phrase, "content": content}}
    return told | {other: {"description": HTTPStatus(other).phrase} for other in others}


def _complete(operation: dict[str, Any]) -> None:
    own = {code: told for code, told in operation["responses"].items() if code != "422"}
    shared = {str(code): {"$ref": f"#/components/responses/{code}"} for code in ERRORS}
    usual = {str(code): told for code, told in gives(JSON).items()}
    operation["responses"] = (own or usual) | shared
    if "description" in operation:
        operation["description"] = operation["description"].replace("<br/>", "\n")


def _error(code: int) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{Error.__name__}"}
    return {"description": HTTPStatus(code).phrase, "content": {JSON: {"schema": schema}}}
