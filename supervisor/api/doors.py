"""What each TCP listener asks of those who come: the configuration -> doors."""

from pathlib import Path

import msgspec

from supervisor.access.rates import Rates
from supervisor.access.tls import Contexts, Protocol
from supervisor.access.token_file import WatchedGrants
from supervisor.api.auth import Credentials, Door, Exposure, load_token
from supervisor.config import Address, Config
from supervisor.state_directory import StateDirectory


class Doors(msgspec.Struct, frozen=True):
    """The doors of one life of the daemon."""

    grpc: Door
    http: Door
    websocket: Door


def open_doors(config: Config, contexts: Contexts, directory: StateDirectory) -> Doors:
    """Return the doors that a configuration asks for. Raises CannotServe."""
    grants = WatchedGrants(tokens_file(config, directory))
    rates = Rates(config.capacity.max_requests_per_second)
    credentials = Credentials(load_token(directory.token), grants.current, rates)

    def door(address: Address, protocol: Protocol) -> Door:
        exposure = Exposure.LOOPBACK if address.is_loopback else Exposure.NETWORK
        return Door(credentials, contexts.get(protocol), exposure)

    listen = config.listen
    return Doors(
        door(listen.grpc, Protocol.HTTP_2),
        door(listen.http, Protocol.HTTP_1_1),
        door(listen.websocket, Protocol.HTTP_1_1),
    )


def tokens_file(config: Config, directory: StateDirectory) -> Path:
    """Return where the tokens of clients are."""
    return config.tokens or directory.tokens
