"""Who asks, and whether he asks too often."""

import ipaddress
import time

from starlette.requests import HTTPConnection

from convtasnet_lit.serving.refusal import RefusedError

MOST_CLIENTS = 10_000  # remembered


def client_of(connection: HTTPConnection) -> str:
    """Return the address that counts as one client: of IPv6 the network, as one host has many addresses in it."""
    return network_of(connection.client.host if connection.client else "")


def network_of(host: str) -> str:
    """Return the part of an address that tells one client from another.

    Args:
        host: An address.

    Example:
        >>> network_of("192.0.2.7"), network_of("2001:db8:1:2:3:4:5:6")
        ('192.0.2.7', '2001:db8:1:2::/64')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))


class Rate:
    """How often each client may begin something: so many times at once, and as many again over a minute.

    Args:
        a_minute: How often.
    """

    def __init__(self, a_minute: float) -> None:
        self._most = a_minute
        self._left: dict[str, tuple[float, float]] = {}  # and when that was so

    def count(self, client: str) -> None:
        """Count one beginning.

        Args:
            client: Whose.

        Raises:
            RefusedError: 429, if there were too many.
        """
        now = time.monotonic()
        left, then = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        self._left[client] = (left - 1 if left >= 1 else left), now
        if len(self._left) > MOST_CLIENTS:
            del self._left[next(iter(self._left))]  # who has been quiet for longest
        if left < 1:
            sentence = f"You begin too often: {self._most:.0f} times a minute are allowed."
            raise RefusedError(429, "rate", sentence, (1 - left) * 60 / self._most)
