"""What clients look for at well-known places: RFC 8414, RFC 9728, and the public keys."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from clawguard.guard import ALGORITHMS
from clawguard.server.answers import JWKSAnswer
from clawguard.server.callers import SCOPES, Held
from clawguard.server.forms import EXCHANGE
from clawguard.server.problems import answers
from clawguard.server.state import State

__all__ = ["base_of", "router"]

router = APIRouter(prefix="/.well-known", tags=["oauth"])


class ServerMetadata(BaseModel):
    """Describe the authorization server (RFC 8414, 2).

    `issuer` is the URL that this is found at. Tokens name the database (`iss`): `token_issuer`, a member of
    clawguard's own, which is the same where the database was founded with that URL.
    """

    model_config = ConfigDict(extra="forbid")

    issuer: str
    token_issuer: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    dpop_signing_alg_values_supported: list[str]


class ResourceMetadata(BaseModel):
    """Describe the server as what takes tokens (RFC 9728, 2)."""

    model_config = ConfigDict(extra="forbid")

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    dpop_signing_alg_values_supported: list[str]


def base_of(request: Request, state: State) -> str:
    """Return where clients reach this server: where it was told, else where this one did."""
    return state.settings.origin or str(request.base_url).rstrip("/")


@router.get("/jwks.json", responses=answers(408, 413, 500, 503))
async def jwks(state: Held) -> JWKSAnswer:
    """Return the public keys that verify tokens."""
    return JWKSAnswer.model_validate(await state.manager.keys.jwks())


@router.get("/oauth-authorization-server", responses=answers(408, 413, 500, 503))
async def server_metadata(request: Request, state: Held) -> ServerMetadata:
    """Describe the token endpoints; `token_issuer` is what every token has in `iss`.

    Nobody has a client secret: who asks for a token or an end shows a token, and needs none to say who it is;
    who introspects does.
    """
    base = base_of(request, state)
    return ServerMetadata(
        issuer=base,
        token_issuer=state.manager.issuer,
        token_endpoint=f"{base}/oauth/token",
        revocation_endpoint=f"{base}/oauth/revoke",
        introspection_endpoint=f"{base}/oauth/introspect",
        jwks_uri=f"{base}/.well-known/jwks.json",
        scopes_supported=list(SCOPES),
        response_types_supported=[],
        grant_types_supported=[EXCHANGE, "refresh_token"],
        token_endpoint_auth_methods_supported=["none"],
        revocation_endpoint_auth_methods_supported=["none"],
        introspection_endpoint_auth_methods_supported=[
            "Bearer",
            "DPoP",
        ],  # token types, as RFC 8414 (2) has it
        dpop_signing_alg_values_supported=list(ALGORITHMS),
    )


@router.get("/oauth-protected-resource", responses=answers(408, 413, 500, 503))
async def resource_metadata(request: Request, state: Held) -> ResourceMetadata:
    """Describe what takes tokens here."""
    base = base_of(request, state)
    return ResourceMetadata(
        resource=base,
        authorization_servers=[base],
        scopes_supported=list(SCOPES),
        bearer_methods_supported=["header"],
        dpop_signing_alg_values_supported=list(ALGORITHMS),
    )
