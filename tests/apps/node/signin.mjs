// An app with a login form of its own, as it was before Cloakroom; it only says who signed in.
import { createServer } from "node:http";

const users = { alice: ["correct horse", "admin"], bob: ["battery", "guest"] };

const app = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://app");
  const user = request.headers["x-session-user"];
  const cart = JSON.parse(request.headers["x-session-data"] ?? "{}").cart ?? [];
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  if (pathname === "/cart") {
    response.setHeader("X-Session-Set", JSON.stringify({ cart: [...cart, searchParams.get("add")] }));
    return response.end("added");
  }
  if (pathname === "/signin" && request.method === "POST") {
    let body = "";
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    const [password, role] = users[form.get("name")] ?? [];
    if (!password || form.get("password") !== password) {
      response.statusCode = 403;
      return response.end("wrong name or password");
    }
    response.setHeader("X-Session-Login", encodeURIComponent(form.get("name")));
    response.setHeader("X-Session-Set", JSON.stringify({ role }));
    response.setHeader("Set-Cookie", `prefs=${form.get("name")}; Path=/`);
    response.writeHead(303, { Location: "/" });
    return response.end();
  }
  if (pathname === "/signout" && request.method === "POST") {
    response.setHeader("X-Session-End", "this");
    return response.end("bye");
  }
  const who = user ? `${user} (${request.headers["x-session-role"]})` : "stranger";
  response.end(`hello ${who}, your cart: ${cart.join(", ") || "empty"}`);
});
app.listen(process.env.PORT ?? 3000, "127.0.0.1", () => console.log(app.address().port));
