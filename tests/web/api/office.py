"""A company behind its API: real rules, a real database, a mail server, and callers of every role."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from httpx import Response

from domain.access import Permission, Role
from store import users
from tests.story.relance import Relance, person

PREFIX = "/api/v1"


@dataclass(kw_only=True)
class Caller:
    """Someone with a token. `calls.get("/customers/K1")`; a path is below /api/v1."""

    company: Relance
    token: str | None

    def __call__(self, method: str, path: str, **more: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        return self.company.pages.request(method, PREFIX + path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Response:
        return self("GET", path, **more)

    def post(self, path: str, **more: Any) -> Response:
        return self("POST", path, **more)

    def put(self, path: str, **more: Any) -> Response:
        return self("PUT", path, **more)

    def patch(self, path: str, **more: Any) -> Response:
        return self("PATCH", path, **more)

    def delete(self, path: str, **more: Any) -> Response:
        return self("DELETE", path, **more)


@dataclass(kw_only=True)
class Api:
    """`company` has people "seller" (team zurich, of manager "boss"), "mate" (same team) and "stranger" (team bern)."""

    company: Relance
    _callers: dict[object, Caller] = field(default_factory=dict[object, Caller])

    def __post_init__(self) -> None:
        self.company.has(
            person("boss", team="zurich"),
            person("seller", manager="boss", team="zurich"),
            person("mate", manager="boss", team="zurich"),
            person("stranger", team="bern"),
        )

    def as_(self, role: Role, *, person: str | None = None, scopes: frozenset[Permission] | None = None) -> Caller:
        """A caller of a role; a salesperson is "seller" unless another is named."""
        person = person or ("seller" if role is Role.SALES else None)
        key = (role, person, scopes)
        if key not in self._callers:
            now, db = self.company.now, self.company.db
            email = f"{role}.{person}.{len(self._callers)}@example.com"
            user = users.add(db, email=email, name=role.value, role=role, person=person, source="test", now=now)
            _, token = users.issue(db, user=user.id, name="test", scopes=scopes, source="test", now=now)
            self._callers[key] = Caller(company=self.company, token=token)
        return self._callers[key]

    @property
    def admin(self) -> Caller:
        return self.as_(Role.ADMIN)

    @property
    def sales(self) -> Caller:
        return self.as_(Role.SALES)

    @property
    def integrator(self) -> Caller:
        return self.as_(Role.INTEGRATOR)

    @property
    def nobody(self) -> Caller:
        """Someone without a token."""
        return Caller(company=self.company, token=None)
