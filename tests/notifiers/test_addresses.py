from __future__ import annotations

import pytest

from domain.delivery import SendError
from notifiers.addresses import Refusal, checked, deliverable


@pytest.mark.parametrize(
    "address",
    [
        "a@b",
        "lara@example.com",
        "l.steiner+crm@mail.example.co.uk",
        "o'neil_9@xn--mller-kva.example",
        f"{'a' * 64}@b.ch",
    ],
)
def test_ordinary_addresses_are_deliverable(address: str):
    assert deliverable(address) == address


@pytest.mark.parametrize(
    ("address", "because"),
    [
        ("", "empty"),
        ("lara", "no @"),
        ("lara@example.com\r\nBcc: x@example.com", "line break"),
        ("lara@example.com\n", "line break"),
        ("la ra@example.com", "space"),
        ("lara@example.com\x00", "control"),
        ("lara@example.com,x@example.com", "more than one"),
        ("a@b;c", "more than one"),
        ("a@b@c", "more than one"),
        ("lära@example.com", "ASCII"),
        ("lara@müller.example", "xn--"),
        (f"{'a' * 65}@example.com", "too long"),
        (f"a@{'b.' * 130}ch", "too long"),
        ("<lara@example.com>", "name@domain"),
        ('"lara"@example.com', "name@domain"),
        ("lara@", "name@domain"),
        ("@example.com", "name@domain"),
        (".lara@example.com", "name@domain"),
        ("la..ra@example.com", "name@domain"),
        ("lara@-example.com", "name@domain"),
        ("lara@example..com", "name@domain"),
        ("lara@[127.0.0.1]", "name@domain"),
    ],
)
def test_what_is_not_one_plain_address_is_refused_with_the_reason(address: str, because: str):
    verdict = deliverable(address)

    assert isinstance(verdict, Refusal)
    assert because in verdict.reason
    with pytest.raises(SendError, match="address") as refused:
        checked(address)
    assert refused.value.permanent
    assert refused.value.phase == "address"
