"""Runs a CGI script for every request: cgi.py SCRIPT, on $PORT."""
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Cgi(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        # Names fold here: X-A and X_A become one variable.
        fields = {"HTTP_" + n.upper().replace("-", "_"): v for n, v in self.headers.items()}
        env = os.environ | fields | {"REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query}
        out = subprocess.run(["sh", sys.argv[1]], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + out)


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 3000))), Cgi)
print(server.server_port, flush=True)
server.serve_forever()
