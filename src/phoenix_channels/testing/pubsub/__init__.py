"""The contract of :class:`~phoenix_channels.pubsub.base.PubSub` as tests, for whoever writes an adapter.

Subclass :class:`ClusterContract` in a test file, and say how nodes are made; pytest does the rest, on every event loop
that its ``anyio_backend`` names::

    class TestMyPubSub(ClusterContract):
        @pytest.fixture
        async def pubsubs(self) -> list[PubSub]:
            return [MyPubSub("broker://localhost") for _ in range(3)]

Whether something is *not* delivered is never found out by waiting: a later broadcast of the same node is, and what
should not have come would have come before it.
"""

from phoenix_channels.testing.pubsub.contract import ClusterContract as ClusterContract
from phoenix_channels.testing.pubsub.contract import PubSubContract as PubSubContract
