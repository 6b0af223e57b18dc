"""A listener as the original's collector was: python-socketio's client, told when the threshold is reached.

usage: socket_io_client.py URL TRANSPORTS    prints a JSON line an event, until the server ends
"""

import json
import sys
import threading

import socketio

url, transports = sys.argv[1], sys.argv[2].split(",")
client = socketio.Client(reconnection=False)
lock = threading.Lock()


def say(event, data):
    # The client calls from threads of its own.
    with lock:
        print(json.dumps([event, data]), flush=True)


for name in ("hello", "response", "lagged", "queue_threshold_reached"):
    client.on(name, lambda data, name=name: say(name, data))
client.on("disconnect", lambda reason=None: say("disconnect", None))
client.connect(url, transports=transports)
say("transport", client.transport())
client.wait()
