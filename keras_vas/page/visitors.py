"""Who a visitor is, and who makes room where there is none left."""

import collections
import dataclasses
import ipaddress

_IPV6_NETWORK = 64


@dataclasses.dataclass(frozen=True)
class Visitor:
    """A browser, known by its cookie.

    Attributes:
        name: str that cannot be guessed; visitors with one name are equal.
        address: str, where the last request came from; see `network`.
    """

    name: str
    address: str = dataclasses.field(compare=False)


def network(address):
    """The address itself, of IPv6 the /64 that a household has, as str."""
    try:
        if ipaddress.ip_address(address).version == 6:
            place = ipaddress.ip_network((address, _IPV6_NETWORK), strict=False)
            return str(place)
    except ValueError:  # the name of a proxy's choice, such as "unknown"
        pass
    return address


def first_to_go(held, visitor, most, most_of_one):
    """What makes room for something new of a visitor.

    First goes what the visitor has over their own share. Where all places are
    taken, those give way who hold the most: the address with the most things,
    there the visitor with the most, of these the first thing. Among equals it
    is the visitor's own address, and the visitor, who give way.

    Args:
        held: list of things with an attribute `visitor`; what is missed
            least comes first.
        visitor: `Visitor` who wants room.
        most: int, places of all together.
        most_of_one: int, places of one visitor.

    Returns:
        One of `held`, or `None` where there is room.
    """
    own = [one for one in held if one.visitor == visitor]
    if len(own) >= most_of_one:
        return own[0]
    if len(held) < most:
        return None
    holders = [visitor, *(one.visitor for one in held)]
    of_address = collections.Counter(one.address for one in holders)
    of_visitor = collections.Counter(holders)

    def share(one):
        return (
            of_address[one.visitor.address],
            one.visitor.address == visitor.address,
            of_visitor[one.visitor],
            one.visitor == visitor,
        )

    return max(held, key=share)
