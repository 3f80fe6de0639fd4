"""Mail addresses as SES takes them: the part before the @ in ASCII, the domain as DNS knows it."""

import re

import idna

LONGEST_LOCAL, LONGEST = 64, 254  # characters; RFC 5321 section 4.5.3.1

# The signs of an atom in RFC 5322 section 3.2.3, and dots, also side by side, as some old mailboxes have them.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")


class AddressError(ValueError):
    """SES would take no mail to this address; the message goes on after the address, with what to do about it."""


def encode(address: str) -> str:
    """The address in ASCII: a domain such as münchen.example in the form that begins with xn--.

    Raises:
        AddressError: it is no address, or one to which SES sends nothing.
    """
    local, _, domain = address.rpartition("@")
    if not _LOCAL.fullmatch(local) or len(local) > LONGEST_LOCAL:
        raise AddressError(
            "is no mail address that SES sends to: before the @ it takes 1 to 64 ASCII letters, digits and "
            "signs; write name@example.com"
        )
    try:
        encoded = f"{local}@{_domain(domain)}"
    except (idna.IDNAError, UnicodeError):
        raise AddressError("has no domain after the @ that DNS could know; write name@example.com") from None
    if len(encoded) > LONGEST:
        raise AddressError(f"is longer than {LONGEST} characters; use a shorter address")
    return encoded


def same(one: str, other: str) -> bool:
    """Whether two addresses name the same mailbox, in whatever case, and in whatever form of the domain."""
    return _comparable(one) == _comparable(other)


def _domain(domain: str) -> str:
    if not domain.isprintable():  # IDNA would drop an invisible character; whoever wrote it did not see it
        raise idna.IDNAError("an invisible character")
    # IDNA leaves capital letters of ASCII alone, and so do we: the address is shown as it was written.
    encoded = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    idna.encode(encoded.lower())  # labels that are empty, too long, or hold other characters
    if not re.search(r"\.[^.]*[A-Za-z][^.]*$", encoded):
        raise idna.IDNAError("the last of at least two labels is no top-level domain")
    return encoded


def _comparable(address: str) -> str:
    try:
        return encode(address).casefold()
    except AddressError:
        return address.casefold()
