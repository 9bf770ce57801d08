"""A web server of this process that serves some bytes."""

import contextlib
import http.server
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; `/cut/...` ends after half the bytes."""

    def do_GET(self):
        """Answers one request."""
        self.server.asked.append(self.path)
        name = self.path.removeprefix("/cut")
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path != name:
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_):
        """Says nothing."""


@contextlib.contextmanager
def serve(files):
    """Serves `files`, a dict of path to bytes.

    Yields:
        The server, with `url`, `files`, and `asked`, the list of the paths
        that it was asked for.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked = files, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
