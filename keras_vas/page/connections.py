"""Connections that are not kept for who does not use them."""

import time

from uvicorn.protocols.http.h11_impl import H11Protocol

from keras_vas.page.visitors import network


def impatient(limits, proxy=None):
    """The class of the server's connections, for `uvicorn.Config(http=...)`.

    A connection is closed on which no whole head of a request comes in time.
    Of one address only so many are held; one more takes the place of the one
    that waits for a request the longest, and is closed itself if all are in
    use.

    Args:
        limits: `Limits`.
        proxy: address of a proxy, which may have any number.

    Returns:
        Subclass of uvicorn's protocol.
    """

    class Impatient(H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self._wait()
            if self.client[0] == proxy:
                return
            place = network(self.client[0])
            near = [
                one
                for one in self.connections
                if network(one.client[0]) == place
                and not one.transport.is_closing()
            ]
            if len(near) > limits.connections_of_one:
                idle = [x for x in near if x is not self and x.is_waiting]
                least = min(idle, key=lambda x: x.since, default=self)
                least.transport.abort()

        def on_response_complete(self):
            self._wait()
            super().on_response_complete()

        @property
        def is_waiting(self):
            return self.cycle is None or self.cycle.response_complete

        def _wait(self):
            self.since = time.monotonic()
            self.loop.call_later(limits.head_seconds, self._give_up, self.cycle)

        def _give_up(self, last):
            if self.cycle is last:  # a request brings a new one
                self.transport.abort()

    return Impatient
