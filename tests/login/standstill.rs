//! Users who change while no Cloakroom runs: what they proved at their login holds no more, and the sessions are over.

use super::site::{PASSWORD, sign_in};
use crate::support::{App, Browser, Cloakroom, Mongod};
use cloakroom::auth::Password;
use cloakroom::auth::hash::{StoredHash, Strength};
use cloakroom::random::OsEntropy;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use mongodb::options::WriteConcern;
use std::time::Duration;

/// Longer than a change takes to be noticed, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn hash() -> String {
    let strength = Strength { memory: 8, passes: 1, lanes: 1 };
    StoredHash::make(&Password::new(PASSWORD).unwrap(), strength, &OsEntropy).unwrap().as_text().to_owned()
}

fn toml(app: &App, login: &str) -> String {
    let throttle = "throttle = { per_user = \"off\", per_client = \"off\" }";
    let door = format!("[[routes]]\nmatch = {{ path = \"/door/*\" }}\nupstream = \"{}\"\nlogin = true\n", app.url());
    format!("[login]\n{throttle}\n{login}\n{door}[[routes]]\nupstream = \"{}\"\nsession = \"required\"\nwrite = \"all\"\n", app.url())
}

async fn signed_in(proxy: &Cloakroom, user: &str) -> Browser {
    let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");
    let page = sign_in(&mut browser, "/login", user, PASSWORD).await;
    assert_eq!(page.status, 303, "{user}: {}", page.text());
    browser
}

/// Whether the browser of before is still signed in at the proxy of now.
async fn is_in(proxy: &Cloakroom, browser: &Browser) -> bool {
    let mut browser = browser.clone().at(proxy.addr());
    match browser.get("/private/x").await.status {
        200 => true,
        303 => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn whoever_is_removed_disabled_or_changed_in_a_file_by_hand_is_signed_out_at_the_next_start_and_nobody_else() {
    let app = App::start().await;
    let names = ["stays", "removed", "disabled", "changed", "demoted"];
    let before: Vec<String> = names.map(|name| format!("[users.{name}]\nhash = \"{}\"\nrole = \"admin\"\n", hash())).into();
    let lines: Vec<String> = ["hta", "htb", "htc"].map(|name| format!("{name}:{}\n", bcrypt::hash(PASSWORD, 4).unwrap())).into();
    let mut proxy = Cloakroom::with(&toml(&app, "users = [\"users.toml\", \".htpasswd\"]"))
        .file("users.toml", before.concat())
        .file(".htpasswd", lines.concat())
        .start()
        .await;
    let mut browsers = Vec::new();
    for name in names.into_iter().chain(["hta", "htb", "htc"]) {
        browsers.push((name, signed_in(&proxy, name).await));
    }
    // A change and a renewal keep what was proven.
    let renewed = &mut browsers[3].1;
    assert_eq!(renewed.get("/set?json=%7B%22a%22:1%7D").await.status, 200);
    let id = renewed.cookie("cloakroom").unwrap().to_owned();
    assert_eq!(renewed.get("/renew").await.status, 200);
    assert_ne!(renewed.cookie("cloakroom").unwrap(), id);
    let mut by_app = Browser::new(proxy.addr()).header("Accept", "text/html");
    by_app.get("/door/login-as?user=somebody").await;
    browsers.push(("the app's word", by_app));
    for (name, browser) in &browsers {
        assert!(is_in(&proxy, browser).await, "{name}");
    }
    proxy.stop().await;

    let disabled = before[2].clone() + "disabled = true\n";
    let changed = format!("[users.changed]\nhash = \"{}\"\nrole = \"admin\"\n", hash());
    let demoted = before[4].replace("admin", "guest");
    let folder = proxy.folder().to_owned();
    std::fs::write(folder.join("users.toml"), [before[0].clone(), disabled, changed, demoted].concat()).unwrap();
    let other = format!("htc:{}\n", bcrypt::hash("other words", 4).unwrap());
    std::fs::write(folder.join(".htpasswd"), lines[0].clone() + &other).unwrap();
    proxy.restart().await;

    let stay = ["stays", "hta", "the app's word"];
    for (name, browser) in &browsers {
        assert_eq!(is_in(&proxy, browser).await, stay.contains(name), "{name}");
    }
    let told = browsers[1].1.clone().at(proxy.addr()).get("/login").await;
    assert!(told.text().contains("You were signed out"), "{}", told.text());
    // It was not only refused: no session is left that would come back with the old password.
    proxy.stop().await;
    std::fs::write(folder.join("users.toml"), before.concat()).unwrap();
    std::fs::write(folder.join(".htpasswd"), lines.concat()).unwrap();
    proxy.restart().await;
    for (name, browser) in &browsers {
        assert_eq!(is_in(&proxy, browser).await, stay.contains(name), "{name}");
    }
}

/// Waits until the browser is not signed in any more.
async fn out(proxy: &Cloakroom, browser: &Browser) {
    let out = async {
        while is_in(proxy, browser).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, out).await.unwrap_or_else(|_| panic!("still in:\n{}", proxy.log()));
}

mod mongo {
    use super::*;

    fn login(mongod: &Mongod, rehash: bool) -> String {
        format!("[login.mongodb]\nuri = \"{}\"\ndatabase = \"shop\"\nhash_field = \"password\"\nrehash = {rehash}\n", mongod.uri())
    }

    async fn users(mongod: &Mongod) -> Collection<Document> {
        mongod.client().await.database("shop").collection("users")
    }

    fn by(name: &str) -> Document {
        doc! { "username": name }
    }

    #[tokio::test]
    async fn users_who_change_in_mongodb_meanwhile_are_signed_out_after_a_start_and_nobody_else() {
        let (app, mongod) = (App::start().await, Mongod::start().await);
        let names = ["stays", "rehashed", "removed", "disabled", "changed"];
        let users = users(&mongod).await;
        users.insert_many(names.map(|name| doc! { "username": name, "password": hash() })).await.unwrap();
        let mut proxy = Cloakroom::start(&toml(&app, &login(&mongod, false))).await;
        let mut browsers = Vec::new();
        for name in names {
            browsers.push(signed_in(&proxy, name).await);
        }
        let [stays, rehashed, removed, disabled, changed] = <[Browser; 5]>::try_from(browsers).unwrap();
        proxy.stop().await;

        users.delete_one(by("removed")).await.unwrap();
        users.update_one(by("disabled"), doc! { "$set": { "disabled": true } }).await.unwrap();
        users.update_one(by("changed"), doc! { "$set": { "password": hash() } }).await.unwrap();
        proxy.reconfigure(&toml(&app, &login(&mongod, true)));
        proxy.restart().await;
        // Another device of the same user: its login replaces the weak hash, which is no new password.
        let before = users.find_one(by("rehashed")).await.unwrap().unwrap();
        let beside = signed_in(&proxy, "rehashed").await;
        // What ends the sessions of the old password spares one of the new.
        let with_new_password = signed_in(&proxy, "changed").await;
        let after = users.find_one(by("rehashed")).await.unwrap().unwrap();
        assert_ne!(before.get_str("password").unwrap(), after.get_str("password").unwrap());
        for browser in [&stays, &rehashed, &beside, &with_new_password] {
            assert!(is_in(&proxy, browser).await);
        }

        // The same looks that find these out see the others.
        for browser in [&disabled, &changed, &removed] {
            out(&proxy, browser).await;
        }
        for browser in [&stays, &rehashed, &beside, &with_new_password] {
            assert!(is_in(&proxy, browser).await, "{}", proxy.log());
        }

        // A password that is new after a rehash is a new one to all who knew the one before.
        users.update_one(by("rehashed"), doc! { "$set": { "password": hash() } }).await.unwrap();
        for browser in [&rehashed, &beside] {
            out(&proxy, browser).await;
        }
        assert!(is_in(&proxy, &stays).await);
    }

    #[tokio::test]
    async fn while_mongodb_cannot_be_asked_nobody_signs_in_and_nobody_is_signed_out_and_then_it_is_made_up_for() {
        let (app, mut mongod) = (App::start().await, Mongod::start().await);
        let users = users(&mongod).await;
        users.insert_many(["stays", "removed"].map(|name| doc! { "username": name, "password": hash() })).await.unwrap();
        let mut proxy = Cloakroom::start(&toml(&app, &login(&mongod, false))).await;
        let (stays, removed) = (signed_in(&proxy, "stays").await, signed_in(&proxy, "removed").await);
        proxy.stop().await;
        // On its disk, or the kill would undo it.
        let kept = WriteConcern::builder().journal(true).build();
        users.delete_one(by("removed")).write_concern(kept).await.unwrap();
        mongod.kill();

        proxy.restart().await;

        for browser in [&stays, &removed] {
            assert!(is_in(&proxy, browser).await);
        }
        proxy.logged("the users in MongoDB cannot be looked at: until they can").await;
        assert!(is_in(&proxy, &removed).await);
        let mut stranger = Browser::new(proxy.addr()).header("Accept", "text/html");
        assert_eq!(sign_in(&mut stranger, "/login", "stays", PASSWORD).await.status, 503);
        mongod.restart().await;
        out(&proxy, &removed).await;
        proxy.logged("the users in MongoDB can be looked at again").await;
        assert!(is_in(&proxy, &stays).await);
    }
}
