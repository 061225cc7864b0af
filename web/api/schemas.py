"""What the data of each type of event is like, for whoever receives them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from notifiers import schemas
from web.api.problems import Kind, answers, not_found
from web.security import public

MEDIA_TYPE = "application/schema+json"

router = APIRouter(tags=["subscriptions"], dependencies=[Depends(public)])


class SchemaResponse(JSONResponse):
    media_type = MEDIA_TYPE


class KnownSchema(BaseModel):
    type: str = Field(description="The type of event.", examples=["recommendation.raised"])
    version: int = Field(description="Rises when more changes than that fields are added.", examples=[1])
    title: str = Field(examples=["A recommendation was raised"])
    path: str = Field(description="Where the schema is.", examples=["/api/v1/schemas/recommendation.raised/1"])


class KnownSchemas(BaseModel):
    schemas: list[KnownSchema]


@router.get(
    "/schemas", response_model=KnownSchemas, operation_id="listSchemas", summary="The types of events that are sent"
)
def list_schemas() -> KnownSchemas:
    """Those that are sent now. Anybody may read them."""
    return KnownSchemas(
        schemas=[
            KnownSchema(
                type=type_,
                version=version,
                title=(schemas.schema(type_, version) or {})["title"],
                path=f"{schemas.PATH}/{type_}/{version}",
            )
            for type_, version in schemas.VERSIONS.items()
        ]
    )


@router.get(
    "/schemas/{type}/{version}",
    response_model=dict[str, Any],
    response_class=SchemaResponse,
    operation_id="getSchema",
    summary="The JSON Schema of an event's data",
    responses=answers(Kind.NOT_FOUND, Kind.INVALID),
)
def get_schema(
    type: Annotated[str, Path(max_length=100, description="The type of event.", examples=["recommendation.raised"])],
    version: Annotated[int, Path(ge=1, le=1000, description="The schema's version.", examples=[1])],
) -> SchemaResponse:
    """JSON Schema 2020-12, complete. It describes `data`, which is the same in both envelopes."""
    found = schemas.schema(type, version)
    if found is None:
        raise not_found(f"schema {type}/{version}")
    return SchemaResponse(found)
