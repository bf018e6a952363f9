import { createServer } from "node:http";

const app = createServer((request, response) => {
  const user = request.headers["x-session-userinfo"];
  const login = request.url === "/login";
  if (login) response.setHeader("X-Session-Set", '{"userinfo":"admin"}');
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(login ? "存储成功" : user ? `欢迎${decodeURIComponent(user)}回来` : "请登录");
});
app.listen(process.env.PORT ?? 3000, "127.0.0.1", () => console.log(app.address().port));
