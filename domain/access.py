"""Who may do what: roles, the permissions each brings, and whose customers it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    SALES = "sales"
    MANAGER = "manager"
    PRODUCT_MANAGER = "product-manager"
    ADMIN = "admin"
    INTEGRATOR = "integrator"  # another system: it feeds or subscribes, and reads nothing


class Permission(StrEnum):
    """What a route asks for. A token's scopes are named so too."""

    RECORDS_READ = "records:read"
    RECORDS_WRITE = "records:write"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    CUSTOMERS_READ = "customers:read"
    RECOMMENDATIONS_READ = "recommendations:read"
    RECOMMENDATIONS_ACT = "recommendations:act"
    DELIVERIES_READ = "deliveries:read"
    DELIVERIES_RETRY = "deliveries:retry"
    RULES_READ = "rules:read"
    RULES_TRY = "rules:try"  # check, simulate and test, over the data one sees
    FIGURES_READ = "figures:read"
    EVENTS_LISTEN = "events:listen"
    SUBSCRIPTIONS_MANAGE = "subscriptions:manage"  # one's own; an admin all
    TOKENS_MANAGE = "tokens:manage"  # one's own; an admin all
    USERS_MANAGE = "users:manage"
    AUDIT_READ = "audit:read"
    PRIVACY_MANAGE = "privacy:manage"
    METRICS_READ = "metrics:read"


class Sight(StrEnum):
    """Whose customers a role sees."""

    NONE = "none"
    TEAM = "team"  # its own and its team's
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    permissions: frozenset[Permission]
    sight: Sight


_AT_WORK = frozenset(
    {
        Permission.PEOPLE_READ,
        Permission.RECORDS_READ,
        Permission.CUSTOMERS_READ,
        Permission.RECOMMENDATIONS_READ,
        Permission.RECOMMENDATIONS_ACT,
        Permission.RULES_READ,
        Permission.EVENTS_LISTEN,
        Permission.TOKENS_MANAGE,
    }
)

ROLES: Mapping[Role, Grant] = {
    Role.SALES: Grant(sight=Sight.TEAM, permissions=_AT_WORK),
    Role.MANAGER: Grant(
        sight=Sight.ALL,
        permissions=_AT_WORK | {Permission.DELIVERIES_READ, Permission.FIGURES_READ, Permission.RULES_TRY},
    ),
    Role.PRODUCT_MANAGER: Grant(
        sight=Sight.NONE,
        permissions=frozenset({Permission.FIGURES_READ, Permission.RULES_READ, Permission.TOKENS_MANAGE}),
    ),
    Role.ADMIN: Grant(sight=Sight.ALL, permissions=frozenset(Permission)),
    Role.INTEGRATOR: Grant(
        sight=Sight.NONE,
        permissions=frozenset(
            {Permission.RECORDS_WRITE, Permission.PEOPLE_WRITE, Permission.SUBSCRIPTIONS_MANAGE, Permission.RULES_READ}
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Someone who is known: a user in a browser, or a token that acts for a user.

    `person`: whose reminders these are, where the user is one of the people. `permissions`: what the role brings,
    narrowed to a token's scopes.
    """

    user: str
    name: str
    role: Role
    permissions: frozenset[Permission]
    person: str | None = None
    token: str | None = None

    @property
    def sight(self) -> Sight:
        return ROLES[self.role].sight

    @property
    def source(self) -> str:
        """Who wrote, as history and audit name it: "user:u1", "token:t7"."""
        return f"token:{self.token}" if self.token else f"user:{self.user}"


def granted(role: Role, scopes: frozenset[Permission] | None = None) -> frozenset[Permission]:
    """What a role may do; with scopes, no more than those."""
    return ROLES[role].permissions if scopes is None else ROLES[role].permissions & scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """Who vouches for users by OpenID Connect.

    `roles`: the role for a value of the claim `role_claim`, in order of precedence; "*" is for everybody else. Whoever
    is new gets it, if `create_users`. `domains`: of the addresses that are believed; none: all.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    role_claim: str | None = None
    roles: Mapping[str, Role] = field(default_factory=dict[str, Role])
    domains: frozenset[str] = frozenset()
    create_users: bool = False

    def role_for(self, values: frozenset[str]) -> Role | None:
        """The role that these values of the claim bring; None: no role, and so no way in."""
        found = (role for value, role in self.roles.items() if value in values)
        return next(found, self.roles.get("*"))
