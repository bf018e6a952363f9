//! Users in MongoDB, written by the real Node packages.

use super::*;
use crate::support::Mongod;
use cloakroom::auth::MongoUsersSettings;
use cloakroom::secret::Secret;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use serde_json::json;
use tokio::process::Command;

struct Shop {
    mongod: Mongod,
}

impl Shop {
    /// A `mongod` with the users of a Node app.
    async fn open() -> Self {
        let shop = Shop { mongod: Mongod::start().await };
        shop.node(&["seed"]).await;
        shop
    }

    async fn node(&self, arguments: &[&str]) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/node");
        let done =
            Command::new("node").arg("users.mjs").args(arguments).current_dir(folder).env("MONGODB_URI", self.mongod.uri()).output().await;
        let done = done.expect("node runs");
        assert!(done.status.success(), "{}; `tests/run` installs what it needs", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn settings(&self) -> MongoUsersSettings {
        let fields =
            [("name", "profile.name"), ("roles", "profile.roles"), ("since", "profile.since"), ("credit", "credit"), ("gone", "x.y")];
        MongoUsersSettings {
            uri: Secret::new(self.mongod.uri()),
            database: "shop".to_owned(),
            collection: "users".to_owned(),
            name_field: "email".to_owned(),
            hash_field: "passwordHash".to_owned(),
            disabled_field: "disabled".to_owned(),
            active_field: None,
            fields: fields.map(|(field, path)| (field.to_owned(), path.to_owned())).into(),
            lowercase: true,
            rehash: false,
            timeout: Duration::from_secs(10),
        }
    }

    async fn gate(&self) -> Gate {
        Gate::over(vec![SourceSettings::Mongo(Box::new(self.settings()))], UNLIMITED).await
    }

    async fn users(&self) -> Collection<Document> {
        self.mongod.client().await.database("shop").collection("users")
    }

    async fn hash_of(&self, email: &str) -> String {
        let user = self.users().await.find_one(doc! { "email": email }).await.unwrap().unwrap();
        user.get_str("passwordHash").unwrap().to_owned()
    }
}

#[tokio::test]
async fn users_of_a_node_app_sign_in_and_bring_their_fields() {
    let shop = Shop::open().await;
    let gate = shop.gate().await;

    for name in ["ada@example.com", "weak@example.com", "2b@example.com", "2a@example.com"] {
        assert_eq!(user(&gate.check(name, "correct horse").await), name);
        assert_eq!(gate.check(name, "correct hors").await, Answer::Refused, "{name}");
    }

    let Answer::Welcome(ada, _) = gate.check("Ada@Example.com", "correct horse").await else { panic!() };
    let fields = json!({ "name": "Ada", "roles": ["admin", "staff"], "since": "1970-01-01T00:00:00.000Z", "credit": 12.5 });
    assert_eq!((ada.user.as_str(), json!(ada.fields)), ("ada@example.com", fields));
    assert_eq!(gate.gatekeeper.filled_fields().len(), 5);
}

#[tokio::test]
async fn those_who_may_not_and_names_that_are_operators_are_refused() {
    let shop = Shop::open().await;
    let gate = shop.gate().await;
    let names = [
        "off@example.com",
        "odd@example.com",
        "sso@example.com",
        "old@example.com",
        "twice@example.com",
        "nobody@example.com",
        "{\"$gt\":\"\"}",
        "{\"$ne\":null}",
        "[object Object]",
        "$gt",
        "email",
        ".*",
        "ada@example.com\0",
    ];

    for name in names {
        assert_eq!(gate.check(name, "correct horse").await, Answer::Refused, "{name}");
    }
    let mut active_only = shop.settings();
    active_only.active_field = Some("active".to_owned());
    let gate = Gate::over(vec![SourceSettings::Mongo(Box::new(active_only))], UNLIMITED).await;
    assert_eq!(gate.check("ada@example.com", "correct horse").await, Answer::Refused);
    shop.users().await.update_one(doc! { "email": "ada@example.com" }, doc! { "$set": { "active": true } }).await.unwrap();
    assert_eq!(user(&gate.check("ada@example.com", "correct horse").await), "ada@example.com");
}

#[tokio::test]
async fn a_weaker_hash_is_replaced_at_sign_in_and_node_still_reads_it() {
    let shop = Shop::open().await;
    let mut settings = shop.settings();
    settings.rehash = true;
    let strong = Settings { sources: vec![SourceSettings::Mongo(Box::new(settings))], throttle: UNLIMITED, strength: Strength::SHIPPED };
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let (gatekeeper, mut ousted) = Gatekeeper::open(&strong, HashPool::new(), clock.clone(), Arc::new(OsEntropy)).await.unwrap();
    let (other_proxy, mut ousted_there) = Gatekeeper::open(&strong, HashPool::new(), clock, Arc::new(OsEntropy)).await.unwrap();
    let password = Password::new("correct horse").unwrap();
    let attempt = |user| Attempt { user, password: &password, client: "192.0.2.1".parse().unwrap(), known_device: None };
    let untouched = shop.hash_of("ada@example.com").await;
    let before = shop.hash_of("2b@example.com").await;

    // Proven by the old hash, for a session on another device.
    let Answer::Welcome(_, with_old_hash) = shop.gate().await.check("2b@example.com", "correct horse").await else { panic!() };
    assert!(other_proxy.vouches_for("2b@example.com", with_old_hash));
    for name in ["ada@example.com", "2b@example.com", "weak@example.com"] {
        assert_eq!(user(&gatekeeper.check(attempt(name)).await), name);
    }

    assert_eq!(shop.hash_of("ada@example.com").await, untouched);
    for name in ["2b@example.com", "weak@example.com"] {
        let after = shop.hash_of(name).await;
        assert!(after.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{after}");
        assert_eq!(shop.node(&["verify", name, "correct horse"]).await, "true");
        assert_eq!(user(&gatekeeper.check(attempt(name)).await), name);
    }
    // A stronger hash is no new password: nobody is signed out, here or by another proxy that saw the old hash.
    assert!(other_proxy.vouches_for("2b@example.com", with_old_hash));
    let restore = doc! { "$set": { "passwordHash": before }, "$unset": { "rehashed": 1 } };
    shop.users().await.update_one(doc! { "email": "2b@example.com" }, restore).await.unwrap();
    assert_eq!(ousted.recv().await.unwrap(), "2b@example.com");
    assert_eq!(user(&other_proxy.check(attempt("2a@example.com")).await), "2a@example.com");
    let away = doc! { "$set": { "disabled": true } };
    shop.users().await.update_many(doc! { "email": { "$in": ["weak@example.com", "2a@example.com"] } }, away).await.unwrap();
    assert_eq!(
        (ousted.recv().await.unwrap().as_str(), ousted_there.recv().await.unwrap().as_str()),
        ("weak@example.com", "2a@example.com")
    );
}

#[tokio::test]
async fn users_who_are_removed_disabled_or_get_a_new_password_are_told() {
    let shop = Shop::open().await;
    let mut gate = shop.gate().await;
    for name in ["ada@example.com", "2a@example.com", "2b@example.com", "weak@example.com"] {
        assert_eq!(user(&gate.check(name, "correct horse").await), name);
    }
    let users = shop.users().await;
    let by = |email: &str| doc! { "email": email };

    users.delete_one(by("ada@example.com")).await.unwrap();
    users.update_one(by("2a@example.com"), doc! { "$set": { "disabled": true } }).await.unwrap();
    users.update_one(by("2b@example.com"), doc! { "$set": { "passwordHash": hash("battery staple") } }).await.unwrap();
    users.update_one(by("weak@example.com"), doc! { "$set": { "profile": { "name": "W" } } }).await.unwrap();

    let mut told = [gate.next_ousted().await, gate.next_ousted().await, gate.next_ousted().await];
    told.sort();
    assert_eq!(told, ["2a@example.com", "2b@example.com", "ada@example.com"]);
    assert_eq!(gate.check("2b@example.com", "correct horse").await, Answer::Refused);
    assert_eq!(user(&gate.check("2b@example.com", "battery staple").await), "2b@example.com");
}

#[tokio::test]
async fn a_login_with_the_new_password_through_another_proxy_stays() {
    let shop = Shop::open().await;
    let (mut here, there) = (shop.gate().await, shop.gate().await);
    let name = "weak@example.com";
    let Answer::Welcome(_, before) = here.check(name, "correct horse").await else { panic!() };

    shop.users().await.update_one(doc! { "email": name }, doc! { "$set": { "passwordHash": hash("battery staple") } }).await.unwrap();
    let Answer::Welcome(_, after) = there.check(name, "battery staple").await else { panic!() };

    // Its first request may come before this proxy has looked.
    assert!(here.gatekeeper.vouches_for(name, after));
    assert_eq!(here.next_ousted().await, name);
    assert_eq!([before, after].map(|credential| here.gatekeeper.vouches_for(name, credential)), [false, true]);
}

#[tokio::test]
async fn a_session_of_before_the_start_is_judged_by_the_next_look() {
    let shop = Shop::open().await;
    let credentials = async |gate: &Gate, name: &str| match gate.check(name, "correct horse").await {
        Answer::Welcome(_, credential) => credential,
        other => panic!("{other:?}"),
    };
    let before = shop.gate().await;
    let (ada, weak) = (credentials(&before, "ada@example.com").await, credentials(&before, "weak@example.com").await);
    drop(before);
    shop.users().await.delete_one(doc! { "email": "ada@example.com" }).await.unwrap();
    let mut after = shop.gate().await;

    assert!(after.gatekeeper.vouches_for("weak@example.com", weak) && after.gatekeeper.vouches_for("ada@example.com", ada));

    assert_eq!(after.next_ousted().await, "ada@example.com");
    assert!(after.gatekeeper.vouches_for("weak@example.com", weak) && !after.gatekeeper.vouches_for("ada@example.com", ada));
}

#[tokio::test]
async fn a_database_that_is_down_lets_nobody_in_and_is_not_the_users_fault() {
    let mut shop = Shop::open().await;
    let folder = tempfile::tempdir().unwrap();
    let file = users_toml(folder.path(), &format!("[users.root]\nhash = \"{}\"\n", hash("correct horse")));
    let mut settings = shop.settings();
    settings.timeout = Duration::from_secs(3);
    let sources = vec![SourceSettings::File(file), SourceSettings::Mongo(Box::new(settings))];
    let gate = Gate::over(sources, Throttle { per_user: rate(1), per_client: rate(1) }).await;
    assert_eq!(user(&gate.check("ada@example.com", "correct horse").await), "ada@example.com");

    shop.mongod.kill();

    for _ in 0..3 {
        assert_eq!(gate.check("ada@example.com", "correct horse").await, Answer::Unavailable);
    }
    // Whoever is known before MongoDB is asked can still come in and mend it.
    assert_eq!(user(&gate.check("root", "correct horse").await), "root");
    shop.mongod.restart().await;
    tokio::time::timeout(PATIENCE, async {
        while gate.check("ada@example.com", "correct horse").await == Answer::Unavailable {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is asked again");
    assert_eq!(user(&gate.check("ada@example.com", "correct horse").await), "ada@example.com");
}

#[tokio::test]
async fn a_frozen_database_is_waited_for_no_longer_than_the_limit() {
    let shop = Shop::open().await;
    let mut settings = shop.settings();
    settings.timeout = Duration::from_millis(300);
    let gate = Gate::over(vec![SourceSettings::Mongo(Box::new(settings))], UNLIMITED).await;
    tokio::time::timeout(PATIENCE, async { while gate.check("ada@example.com", "correct horse").await == Answer::Unavailable {} })
        .await
        .expect("it answers");

    shop.mongod.stop_signal();
    let answers = futures_util::future::join_all((0..200).map(|_| gate.check("ada@example.com", "correct horse"))).await;
    shop.mongod.cont_signal();

    assert!(answers.iter().all(|answer| *answer == Answer::Unavailable));
    tokio::time::timeout(PATIENCE, async { while gate.check("ada@example.com", "correct horse").await == Answer::Unavailable {} })
        .await
        .expect("it answers again");
}
