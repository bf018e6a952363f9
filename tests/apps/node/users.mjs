// The users of a Node app, hashed and stored as such apps do it. `node users.mjs seed`; `node users.mjs verify NAME PASSWORD`.
import argon2 from "argon2";
import bcrypt from "bcrypt";
import { MongoClient } from "mongodb";

const [command, name, password] = process.argv.slice(2);
const client = await MongoClient.connect(process.env.MONGODB_URI);
const users = client.db("shop").collection("users");
if (command === "seed") {
  const weak = { memoryCost: 1024, timeCost: 2, parallelism: 1 };
  const profile = { name: "Ada", roles: ["admin", "staff"], since: new Date(0) };
  await users.insertMany([
    { email: "ada@example.com", passwordHash: await argon2.hash("correct horse"), profile, credit: 12.5 },
    { email: "weak@example.com", passwordHash: await argon2.hash("correct horse", weak) },
    { email: "2b@example.com", passwordHash: await bcrypt.hash("correct horse", 10) },
    { email: "2a@example.com", passwordHash: await bcrypt.hash("correct horse", await bcrypt.genSalt(5, "a")) },
    { email: "off@example.com", passwordHash: await bcrypt.hash("correct horse", 4), disabled: true },
    { email: "odd@example.com", passwordHash: await bcrypt.hash("correct horse", 4), disabled: "yes" },
    { email: "sso@example.com", provider: "github" },
    { email: "old@example.com", passwordHash: "5f4dcc3b5aa765d61d8327deb882cf99" },
    { email: "twice@example.com", passwordHash: await bcrypt.hash("correct horse", 4) },
    { email: "twice@example.com", passwordHash: await bcrypt.hash("correct horse", 4) },
    { email: { $gt: "" }, passwordHash: await bcrypt.hash("correct horse", 4) },
  ]);
} else {
  const { passwordHash } = await users.findOne({ email: name });
  console.log(await (passwordHash.startsWith("$argon2") ? argon2.verify(passwordHash, password) : bcrypt.compare(password, passwordHash)));
}
await client.close();
