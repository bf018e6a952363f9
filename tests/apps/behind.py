"""Three well-known apps, as far as a proxy can tell: each reads the signed-in user from its headers exactly as the real one does.

APP=grafana    Go's `Header.Get`: names without case, `_` is not `-`, the first of several lines
APP=gitea      the same, and white space around the value goes
APP=paperless  Django's META: every name in upper case with `_` for `-`, several lines joined by a comma; a session of its own that
               keeps the user signed in when the header is gone (PersistentRemoteUserMiddleware)
"""

import json
import os
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def go(headers, name):
    return next((value for known, value in headers if known.lower() == name.lower()), "")


def meta(headers, name):
    values = [value for known, value in headers if "HTTP_" + known.upper().replace("-", "_") == name]
    return ",".join(values)


def grafana(headers):
    names = {"Name": "X-WEBAUTH-NAME", "Email": "X-WEBAUTH-EMAIL", "Role": "X-WEBAUTH-ROLE"}
    fields = {field: go(headers, name) for field, name in names.items()}
    return {"login": go(headers, "X-WEBAUTH-USER")} | {field: value for field, value in fields.items() if value}


def gitea(headers):
    seen = {"login": "X-WEBAUTH-USER", "Email": "X-WEBAUTH-EMAIL", "FullName": "X-WEBAUTH-FULLNAME"}
    return {field: go(headers, name).strip() for field, name in seen.items()}


def paperless(headers):
    cookie = SimpleCookie(go(headers, "Cookie")).get("sessionid")
    return {"login": meta(headers, "HTTP_REMOTE_USER") or (cookie.value if cookie else "")}


APP = {"grafana": grafana, "gitea": gitea, "paperless": paperless}[os.environ["APP"]]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # http.server reads bytes as Latin-1; Go keeps them, and they are UTF-8.
        headers = [(name, value.encode("latin-1").decode("utf-8", "replace")) for name, value in self.headers.items()]
        user = APP(headers)
        self.send_response(200 if user["login"] else 401)
        self.send_header("Content-Type", "application/json")
        if APP is paperless and user["login"]:
            self.send_header("Set-Cookie", f"sessionid={user['login']}; HttpOnly; Path=/; SameSite=Lax")
        self.end_headers()
        self.wfile.write(json.dumps(user).encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 3000))), Handler)
print(server.server_port, flush=True)
server.serve_forever()
