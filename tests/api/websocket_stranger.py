"""Follows the events with the library `websockets` until one that is live; prints each message.

python -m tests.api.websocket_stranger URL
"""

import json
import os
import sys

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.api.asked import TOKEN_VARIABLE


def main(url: str) -> None:
    headers = {"authorization": f"Bearer {os.environ[TOKEN_VARIABLE]}"}
    protocols = [Subprotocol("cloudevents.json")]
    try:
        socket = connect(url, additional_headers=headers, subprotocols=protocols)
    except InvalidStatus:
        print(json.dumps({"refused": True}))
        return
    with socket:
        for message in socket:
            print(message, flush=True)
            if json.loads(message)["type"] == "org.chronovisor.caught-up.v1":
                break
        socket.ping().wait()
        print(socket.recv())
    print(json.dumps({"closed": socket.close_code, "protocol": socket.subprotocol}))


if __name__ == "__main__":
    main(sys.argv[1])
