// An Express app as our users run it today: the same collection and cookie as Cloakroom's.
import MongoStore from "connect-mongo";
import express from "express";
import session from "express-session";
import { MongoClient } from "mongodb";

const { MONGODB_URI, SESSION_SECRET, DATABASE = "cloakroom", COLLECTION = "sessions", PORT = 3000 } = process.env;
const client = await MongoClient.connect(MONGODB_URI);
const store = MongoStore.create({ client, dbName: DATABASE, collectionName: COLLECTION });

const app = express();
// Before the sessions: the test asks who waits at `/hold`, and lets them go on.
const held = [];
app.get("/held", (_, response) => response.json(held.length));
app.get("/release", (_, response) => response.json(held.splice(0).map((go) => go()).length));
app.use(session({ secret: SESSION_SECRET, resave: false, saveUninitialized: false, store, cookie: { maxAge: 14 * 86400 * 1000 } }));
const tell = (request, response) => {
  const { cookie, ...data } = request.session ?? {};
  response.json({ id: request.sessionID, data });
};
app.get("/set", (request, response) => {
  Object.assign(request.session, request.query);
  tell(request, response);
});
app.get("/hold", async (request, response) => {
  await new Promise((go) => held.push(go));
  Object.assign(request.session, request.query);
  tell(request, response);
});
app.get("/get", tell);
app.get("/login", (request, response, next) => {
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.userinfo = request.query.user ?? "admin";
    tell(request, response);
  });
});
app.get("/logout", (request, response, next) => {
  request.session.destroy((error) => (error ? next(error) : response.clearCookie("connect.sid").send("gone")));
});
const server = app.listen(PORT, "127.0.0.1", () => console.log(server.address().port));
