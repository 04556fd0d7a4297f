"""A short bout of what stress.py does for minutes."""

import json

from server import Server
from stress import stress


def test_rude_clients_neither_end_nor_change_it():
    server = Server("--max-answers", "24")
    result = stress(server, seconds=6, n_clients=12)
    code = server.stop()
    assert not result["wrong"], "\n".join(result["wrong"][:5])
    assert result["answers"] > 0 and result["cancelled"] > 0, json.dumps(result)
    assert code == -15, server.errors[-2000:]
