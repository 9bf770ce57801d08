"""How long a test waits for what must happen, on a machine however busy."""

SECONDS = 1200
