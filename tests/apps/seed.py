import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class App(BaseHTTPRequestHandler):
    def do_GET(self):
        user, login = self.headers["X-Session-Userinfo"], self.path == "/login"
        self.send_response(200)
        if login:
            self.send_header("X-Session-Set", '{"userinfo":"admin"}')
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(("存储成功" if login else f"欢迎{unquote(user)}回来" if user else "请登录").encode())


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 3000))), App)
print(server.server_port, flush=True)
server.serve_forever()
