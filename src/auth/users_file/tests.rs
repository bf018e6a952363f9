use super::edit::{Edit, EditError, edit};
use super::watch::Watch;
use super::*;
use crate::auth::Password;
use crate::auth::hash::{StoredHash, Strength};
use crate::random::CountingEntropy;
use serde_json::{Map, json};
use std::cell::Cell;
use std::time::{Duration, SystemTime};

const CHEAP: Strength = Strength { memory: 8, passes: 1, lanes: 1 };

fn hash(password: &str) -> StoredHash {
    StoredHash::make(&Password::new(password).unwrap(), CHEAP, &CountingEntropy::default()).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    match parse(Path::new("users.toml"), text) {
        Err(ReadError::Faulty(faults, _)) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

struct Folder(tempfile::TempDir, Cell<u64>);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap(), Cell::default())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("users.toml")
    }

    /// Each write is a second after the one before.
    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
        self.1.set(self.1.get() + 1);
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(self.1.get());
        std::fs::File::options().write(true).open(self.path()).unwrap().set_modified(written).unwrap();
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }
}

#[test]
fn a_user_is_a_table_with_a_hash_and_fields_for_the_session() {
    let text = format!(
        "[users.alice]\nhash = \"{0}\"\nrole = \"admin\"\ngroups = [\"staff\", \"ops\"]\ndisplay_name = \"Alice 🦊\"\n\n[users.\"bob@example.com\"]\nhash = \"{0}\"\ndisabled = true\n",
        hash("correct horse").as_text()
    );

    let users = parse(Path::new("users.toml"), &text).unwrap().users;

    assert_eq!(users.keys().collect::<Vec<_>>(), ["alice", "bob@example.com"]);
    let alice = &users["alice"];
    let fields = json!({ "role": "admin", "groups": ["staff", "ops"], "display_name": "Alice 🦊" });
    assert_eq!((json!(alice.account.fields), alice.disabled, users["bob@example.com"].disabled), (fields, false, true));
    assert!(alice.hash.is_of(&Password::new("correct horse").unwrap()));
}

#[test]
fn every_mistake_is_told_with_its_line_and_column() {
    let text = format!(
        "[users.alice]\nhash = \"{}\"\ndisable = true\n[users.bob]\nhash = \"$1$abc\"\ngroups = \"staff\"\n[users.eve]\n[user.x]\n",
        hash("x").as_text()
    );

    assert_eq!(
        faults(&text),
        [
            "users.toml:3:1: unknown key `disable` in a user; did you mean `disabled`?",
            "users.toml:5:8: not an argon2id or bcrypt hash",
            "users.toml:6:10: `groups` must be a list of texts, as in [\"staff\"]",
            "users.toml:7:8: a user without a `hash`: `cloakroom user password NAME` makes one",
            "users.toml:8:2: unknown key `user` in the file; did you mean `users`?; a user is a table [users.NAME]",
        ]
    );
    assert_eq!(faults("[users.a]\nhash = \"x")[0].split(": ").next().unwrap(), "users.toml:2:10");
    assert_eq!(faults("users = 5"), ["users.toml:1:9: a user is a table [users.NAME]"]);
}

#[test]
fn an_htpasswd_is_read_as_it_is_and_weak_lines_are_told() {
    let text = format!(
        "# made by htpasswd -B\nalice:{0}\n\nold:$apr1$abcdefgh$ZzzZzzZzz\nbob:{1}\nalice:{1}\nnonsense\nsha:{{SHA}}qUqP5cyxm6YcTAhz05Hph5gvu9M=\r\n",
        bcrypt::hash("correct horse", 4).unwrap().replace("$2b$", "$2y$"),
        hash("battery staple").as_text()
    );

    let contents = parse(Path::new(".htpasswd"), &text).unwrap();

    assert_eq!(contents.users.keys().collect::<Vec<_>>(), ["alice", "bob"]);
    assert!(contents.users["alice"].hash.is_of(&Password::new("correct horse").unwrap()));
    assert!(contents.users["bob"].hash.is_of(&Password::new("battery staple").unwrap()));
    let lines: Vec<_> = contents.doubts.iter().map(|doubt| (doubt.line, doubt.what.split(':').next().unwrap())).collect();
    let weak = "a hash that is too weak to be accepted";
    assert_eq!(lines, [(4, weak), (6, "the name is there twice"), (7, "not a line of NAME"), (8, weak)]);
}

#[test]
fn a_missing_or_empty_file_is_no_users() {
    let folder = Folder::new();

    let missing = read(&folder.path()).unwrap();
    folder.write("");
    let empty = read(&folder.path()).unwrap();

    assert_eq!((missing.users.len(), missing.is_missing), (0, true));
    assert_eq!((empty.users.len(), empty.is_missing), (0, false));
}

#[test]
fn an_edit_keeps_comments_order_and_mode() {
    let folder = Folder::new();
    let (old, new) = (hash("old password"), hash("new password"));
    folder.write(&format!("# who may in\n[users.bob] # the boss\nhash = \"{}\" # 2024\nrole = \"admin\"\n", old.as_text()));
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();

    edit(&folder.path(), &Edit::Password { user: "bob", hash: &new }).unwrap();
    let fields = Map::from_iter([("groups".to_owned(), json!(["a", "b"])), ("role".to_owned(), json!("guest"))]);
    edit(&folder.path(), &Edit::Add { user: "al.ice", hash: &old, fields: &fields }).unwrap();

    assert_eq!(
        folder.text(),
        format!(
            "# who may in\n[users.bob] # the boss\nhash = \"{}\" # 2024\nrole = \"admin\"\n\n[users.\"al.ice\"]\nhash = \"{}\"\nrole = \"guest\"\ngroups = [\"a\", \"b\"]\n",
            new.as_text(),
            old.as_text()
        )
    );
    assert_eq!(mode(&folder.path()), 0o640);
    edit(&folder.path(), &Edit::Remove { user: "bob" }).unwrap();
    assert_eq!(read(&folder.path()).unwrap().users.into_keys().collect::<Vec<_>>(), ["al.ice"]);
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn a_new_file_is_readable_by_its_owner_alone() {
    let folder = Folder::new();

    edit(&folder.path(), &Edit::Add { user: "alice", hash: &hash("x"), fields: &Map::new() }).unwrap();

    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(folder.path()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(folder.text().starts_with("[users.alice]\nhash = "), "{}", folder.text());
}

#[test]
fn an_edit_that_cannot_be_leaves_the_file_alone() {
    let folder = Folder::new();
    let sound = format!("[users.bob]\nhash = \"{}\"\n", hash("x").as_text());
    folder.write(&sound);
    let (path, h) = (folder.path(), hash("y"));

    let taken = edit(&path, &Edit::Add { user: "bob", hash: &h, fields: &Map::new() }).unwrap_err();
    let unknown = edit(&path, &Edit::Remove { user: "eve" }).unwrap_err();

    assert!(matches!((taken, unknown), (EditError::Taken(_), EditError::Unknown(_))));
    assert_eq!(folder.text(), sound);
    folder.write("[users.bob\n");
    assert!(matches!(edit(&path, &Edit::Remove { user: "bob" }), Err(EditError::Unsound(_))));
    assert_eq!(folder.text(), "[users.bob\n");
}

fn entry(user: &str, hash: &StoredHash, fields: serde_json::Value) -> Entry {
    let account = crate::auth::Account { user: user.to_owned(), fields: fields.as_object().unwrap().clone() };
    Entry { account, hash: hash.clone(), disabled: false }
}

#[test]
fn another_name_hash_role_or_group_is_another_credential() {
    let (x, y) = (hash("x"), hash("y"));
    let of = |user: &str, hash: &StoredHash, fields| UsersFile::credential(&entry(user, hash, fields));
    let alice = of("alice", &x, json!({}));

    assert_eq!(alice, of("alice", &x, json!({ "email": "a@b", "display_name": "A" })));
    let others = [
        of("alicE", &x, json!({})),
        of("alice", &x, json!({ "role": "admin" })),
        of("alice", &x, json!({ "groups": ["admin"] })),
        of("alice", &x, json!({ "groups": [] })),
        of("alice", &y, json!({})),
    ];
    for (number, other) in others.iter().enumerate() {
        assert!(*other != alice && !others[..number].contains(other), "{number}");
    }
}

/// A file with two users, opened, and looked at until it is settled.
fn watched(folder: &Folder) -> (UsersFile, Watch) {
    folder.write(&format!("[users.a]\nhash = \"{0}\"\n[users.b]\nhash = \"{0}\"\nrole = \"admin\"\n", hash("x").as_text()));
    let file = UsersFile::open(&folder.path()).unwrap();
    let mut watch = Watch::default();
    assert_eq!((watch.look(&file), watch.look(&file)), (Vec::new(), Vec::new()));
    (file, watch)
}

#[test]
fn users_who_are_removed_disabled_or_changed_are_told() {
    let folder = Folder::new();
    let text = |body: &str| body.replace("{old}", hash("x").as_text()).replace("{new}", hash("y").as_text());
    let cases = [
        ("[users.b]\nhash = \"{old}\"\nrole = \"admin\"\n", vec!["a"]),
        ("[users.a]\nhash = \"{old}\"\ndisabled = true\n[users.b]\nhash = \"{old}\"\nrole = \"guest\"\n", vec!["a", "b"]),
        ("[users.a]\nhash = \"{new}\"\n[users.b]\nhash = \"{old}\"\nrole = \"admin\"\n", vec!["a"]),
        (
            "[users.a]\nhash = \"{old}\"\nemail = \"a@b\"\n[users.b]\nhash = \"{old}\"\nrole = \"admin\"\n[users.c]\nhash = \"{old}\"\n",
            vec![],
        ),
        ("", vec!["a", "b"]),
    ];
    for (after, expected) in cases {
        let (file, mut watch) = watched(&folder);
        folder.write(&text(after));

        let looks = [watch.look(&file), watch.look(&file), watch.look(&file)];

        assert_eq!(looks, [vec![], expected.into_iter().map(str::to_owned).collect(), vec![]]);
    }
}

#[test]
fn a_file_that_is_broken_or_missing_for_a_moment_keeps_the_last_good_users() {
    let folder = Folder::new();
    let (file, mut watch) = watched(&folder);

    folder.write("[users.a]\nhash = \"half\n[users.b]\n");
    let broken = (watch.look(&file), watch.look(&file));
    std::fs::remove_file(folder.path()).unwrap();
    let vanished = (watch.look(&file), watch.look(&file));

    assert_eq!((broken, vanished), ((vec![], vec![]), (vec![], vec![])));
    assert_eq!(file.users().keys().collect::<Vec<_>>(), ["a", "b"]);
    folder.write("");
    assert_eq!((watch.look(&file), watch.look(&file)), (vec![], vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn what_a_file_with_mistakes_takes_away_counts_and_nothing_else_of_it_does() {
    let folder = Folder::new();
    let text = |body: &str| body.replace("{old}", hash("x").as_text()).replace("{new}", hash("y").as_text());
    let typo = "[users.c]\nhash = \"half\n";
    let b = "[users.b]\nhash = \"{old}\"\nrole = \"admin\"\n";
    let cases = [
        // The last table is no TOML.
        (format!("{b}{typo}"), "removed"),
        (format!("#[users.a]\n#hash = \"{{old}}\"\n{b}{typo}"), "removed"),
        (format!("[users.a]\nhash = \"{{old}}\"\ndisabled = true\n{b}{typo}"), "disabled"),
        (format!("users.a = {{ hash = \"{{old}}\", disabled = true }}\n{b}{typo}"), "disabled"),
        // It is the user's own table.
        (format!("[users.a]\nhash = \"{{old}}\ndisabled = true\n{b}"), "disabled"),
        (format!("[users.a\nhash = \"{{old}}\"\ndisabled = true\n{b}"), "disabled"),
        (format!("{b}[users.a]\nhash = \"{{old}}"), "stays"),
        (format!("[users.a\nhash = \"{{old}}\"\n{b}"), "stays"),
        (format!("[users.a]\nhash = \"{{old}}\"\n{b}[users.b]\n"), "stays"),
        // It is TOML, and something in it is wrong.
        (format!("[users.a]\nhash = \"{{old}}\"\ndisable = true\n{b}"), "disabled"),
        (format!("[users.a]\nhash = \"{{old}}\"\ndisabled = \"yes\"\n{b}"), "disabled"),
        (format!("[users.a]\nhash = \"{{old}}\"\ndisable = false\n{b}"), "stays"),
        (format!("[users.a]\nhash = \"{{new}}\"\nemial = \"a@b\"\n{b}"), "stays"),
        (format!("[user.a]\nhash = \"{{old}}\"\n{b}"), "stays"),
        (format!("[user.a]\ndisabled = true\n{b}"), "disabled"),
        (format!("[a]\ndisabled = true\n{b}"), "disabled"),
        (format!("{b}emial = \"b@c\"\n"), "removed"),
    ];
    for (after, expected) in cases {
        let (file, mut watch) = watched(&folder);
        folder.write(&text(&after));

        let out: Vec<String> = [watch.look(&file), watch.look(&file), watch.look(&file)].concat();

        let state = match file.find("a") {
            Some(entry) if entry.disabled => "disabled",
            Some(entry) => {
                if entry.hash == hash("x") {
                    "stays"
                } else {
                    "changed"
                }
            }
            None => "removed",
        };
        let wanted = if expected == "stays" { vec![] } else { vec!["a".to_owned()] };
        assert_eq!((state, out), (expected, wanted), "{after}");
        assert_eq!(file.users().keys().filter(|name| *name != "a").collect::<Vec<_>>(), ["b"], "{after}");
        assert!(!file.find("b").unwrap().disabled, "{after}");
    }
}

#[test]
fn a_file_in_another_encoding_is_one_with_mistakes() {
    let folder = Folder::new();
    let (file, mut watch) = watched(&folder);

    let text = format!("[users.b]\nhash = \"{}\"\ndisplay_name = \"J?rgen\"\n", hash("x").as_text());
    let latin1: Vec<u8> = text.bytes().map(|byte| if byte == b'?' { 0xfc } else { byte }).collect();
    std::fs::write(folder.path(), &latin1).unwrap();

    assert!(read(&folder.path()).unwrap_err().to_string().ends_with("users.toml:3:1: a letter that is not UTF-8"));
    assert_eq!((watch.look(&file), watch.look(&file)), (vec![], vec!["a".to_owned()]));
    assert_eq!(file.users().keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_file_that_is_not_there_yet_vouches_for_all_until_it_has_been_missing_five_times() {
    let folder = Folder::new();
    let (alice, mut watch) = (hash("x"), Watch::default());
    let credential = UsersFile::credential(&entry("alice", &alice, json!({})));
    let file = UsersFile::open(&folder.path()).unwrap();

    for _ in 0..4 {
        assert_eq!((watch.look(&file), file.word_on("alice", credential)), (vec![], Word::Holds));
    }
    assert_eq!((watch.look(&file), file.word_on("alice", credential)), (vec![], Word::Unknown));

    folder.write(&format!("[users.alice]\nhash = \"{}\"\n", alice.as_text()));
    assert_eq!((watch.look(&file), watch.look(&file), file.word_on("alice", credential)), (vec![], vec![], Word::Holds));
}

#[test]
fn a_file_that_is_missing_in_five_looks_in_a_row_is_no_users() {
    let folder = Folder::new();
    let (file, mut watch) = watched(&folder);
    let both = ["a", "b"].map(str::to_owned).to_vec();

    std::fs::remove_file(folder.path()).unwrap();
    let looks: Vec<_> = (0..6).map(|_| watch.look(&file)).collect();

    assert_eq!(looks, [vec![], vec![], vec![], vec![], both, vec![]]);
    assert!(file.users().is_empty());
    folder.write(&format!("[users.a]\nhash = \"{}\"\n", hash("x").as_text()));
    assert_eq!((watch.look(&file), watch.look(&file), file.users().len()), (vec![], vec![], 1));
}

#[test]
fn a_file_that_nobody_can_look_at_keeps_its_users_until_it_is_seen_to_be_gone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("users.toml"), format!("[users.a]\nhash = \"{}\"\n", hash("x").as_text())).unwrap();
    let file = UsersFile::open(&inner.join("users.toml")).unwrap();
    let mut watch = Watch::default();
    let mut looks = || -> Vec<String> { (0..6).flat_map(|_| watch.look(&file)).collect() };
    assert_eq!(looks(), Vec::<String>::new());

    std::fs::rename(&inner, folder.path().join("away")).unwrap();
    std::fs::write(&inner, "no folder").unwrap();
    let hidden = looks();
    std::fs::remove_file(&inner).unwrap();

    assert_eq!((hidden, looks()), (vec![], vec!["a".to_owned()]));
}

#[cfg(unix)]
#[test]
fn a_change_that_leaves_length_and_time_as_they_were_is_seen() {
    let folder = Folder::new();
    let (file, mut watch) = watched(&folder);
    let (text, before) = (folder.text(), std::fs::metadata(folder.path()).unwrap().modified().unwrap());

    std::fs::write(folder.path(), text.replace("users.a", "users.c")).unwrap();
    std::fs::File::options().write(true).open(folder.path()).unwrap().set_modified(before).unwrap();

    assert_eq!([watch.look(&file), watch.look(&file)].concat(), ["a"]);
}

#[test]
fn a_file_that_is_still_being_written_is_not_read() {
    let folder = Folder::new();
    let (file, mut watch) = watched(&folder);

    for length in 0..5 {
        folder.write(&"#".repeat(length));
        assert_eq!(watch.look(&file), Vec::<String>::new());
    }

    assert_eq!(file.users().len(), 2);
}
