"""Write docs/openapi.json, what the server says of itself: python tools/openapi.py [--print]"""

import json
import sys
from pathlib import Path

from mrnn import load
from mrnn.server import create_app

TARGET = Path(__file__).parents[1] / "docs" / "openapi.json"


def document() -> str:
    """The OpenAPI document as text; it is the same for every model."""
    return json.dumps(create_app(load("plain")).openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(document(), end="")
    else:
        TARGET.write_text(document(), encoding="utf-8")
