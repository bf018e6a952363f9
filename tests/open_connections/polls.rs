//! Requests whose app takes its time.
use super::super::support::{App, Browser, Cloakroom, Mongod, Raw};
use super::super::{cookie, shared, visitor};
use super::scene::{Scene, log_out, request, until_asked};
use std::time::Instant;

/// The answer to a script whose session has ended, JSON and all.
async fn is_turned_out(poll: &mut Raw) {
    let (head, body) = (poll.head().await, poll.rest().await);
    assert!(head.starts_with("HTTP/1.1 401") && head.contains("application/problem+json"), "{head}");
    assert!(body.contains("\"reason\":\"not-signed-in\"") && body.contains("\"session\":\"ended\""), "{body}");
}

#[tokio::test]
async fn a_long_poll_gets_401_when_its_session_ends_and_others_go_on() {
    let scene = Scene::start().await;
    let (leaver, other) = (scene.visitor().await, scene.visitor().await);
    let mut others = scene.ask("/live/poll", &other).await;
    let mut at_app = scene.live.accept().await;
    at_app.head().await;
    let mut strangers = scene.ask("/live/poll", "a=b").await;
    let mut also_at_app = scene.live.accept().await;
    also_at_app.head().await;
    let mut old = scene.ask("/hang", &leaver).await;
    scene.until_open(2).await;
    let mark = scene.app.mark();
    let mut young = scene.ask("/hang", &leaver).await;
    scene.until_asked(&mark, 1).await;

    let began = Instant::now();
    scene.log_out(&leaver).await;
    is_turned_out(&mut old).await;
    println!("an old one ended after {:?}", began.elapsed());
    is_turned_out(&mut young).await;
    println!("a young one ended after {:?}", began.elapsed());

    scene.until_open(1).await;
    for (app, visitor) in [(&mut at_app, &mut others), (&mut also_at_app, &mut strangers)] {
        app.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 200"));
    }
    scene.proxy.logged("a request is cut, because its session is over").await;
}

#[tokio::test]
async fn behind_a_login_a_script_whose_session_ends_gets_401_and_a_page_on_its_way_gets_the_login() {
    let scene = Scene::start().await;
    // Without Fetch Metadata (plain HTTP on a host of its own) `Accept` alone says who asks.
    let scripts = ["Accept: */*", "Accept: text/event-stream", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept: text/html, */*"];
    let pages = ["Accept: text/html,*/*;q=0.8", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html,*/*;q=0.8"];
    for path in ["/inside/hang", "/led/hang"] {
        let (leaver, mark) = (scene.user().await, scene.app.mark());
        let mut asked = Vec::new();
        for (sign, is_script) in scripts.map(|sign| (sign, true)).into_iter().chain(pages.map(|sign| (sign, false))) {
            let mut visitor = Raw::connect(scene.proxy.addr()).await;
            visitor.send(request(path, &leaver).replace("Accept: */*", sign)).await;
            asked.push((visitor, sign, is_script));
        }
        scene.until_asked(&mark, asked.len()).await;

        scene.log_out(&leaver).await;

        for (visitor, sign, is_script) in &mut asked {
            if *is_script {
                is_turned_out(visitor).await;
            } else {
                let head = visitor.head().await;
                let leads_back = head.to_lowercase().contains(&format!("location: /login?return_to={path}\r\n"));
                assert!(head.starts_with("HTTP/1.1 303") && leads_back, "{path} {sign}: {head}");
            }
        }
    }
}

#[tokio::test]
async fn a_poll_on_a_kept_alive_connection_is_cut_once_and_leaves_no_descriptor() {
    let scene = Scene::start().await;
    let before = scene.open_files();
    let leaver = scene.visitor().await;
    let mark = scene.app.mark();
    let mut polls = Vec::new();
    for _ in 0..20 {
        polls.push(scene.ask("/hang", &leaver).await);
    }
    scene.until_asked(&mark, 20).await;
    scene.until_open(20).await;

    scene.log_out(&leaver).await;
    for poll in &mut polls {
        is_turned_out(poll).await;
    }

    assert_eq!(scene.app.since(&mark).requests.len(), 20, "none is asked again");
    // The connection to the app that is kept alive, and one of the test's own that is being closed.
    scene.until_open_files(before + 2).await;
}

#[tokio::test]
async fn an_upload_that_the_app_has_not_answered_ends_with_its_session() {
    let scene = Scene::start().await;
    let leaver = scene.visitor().await;
    let mut upload = Raw::connect(scene.proxy.addr()).await;
    upload.send(request("/live/upload", &leaver).replace("GET", "POST").replace("Host", "Content-Length: 1000\r\nHost") + "half").await;
    let mut at_app = scene.live.accept().await;
    at_app.until("half").await;

    scene.log_out(&leaver).await;

    is_turned_out(&mut upload).await;
    assert_eq!(at_app.rest().await, "", "the app is told");
}

#[tokio::test]
async fn an_upload_that_the_app_has_answered_before_it_was_whole_ends_with_its_session() {
    let scene = Scene::start().await;
    for (answer, end) in [("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"), ("HTTP/1.1 204 No Content\r\n\r\n", "\r\n\r\n")] {
        let leaver = scene.visitor().await;
        let mut upload = Raw::connect(scene.proxy.addr()).await;
        upload.send(request("/live/upload", &leaver).replace("GET", "POST").replace("Host", "Content-Length: 1000\r\nHost") + "half").await;
        let mut at_app = scene.live.accept().await;
        at_app.until("half").await;
        at_app.send(answer).await;
        upload.until(end).await;
        upload.send("goes on").await;
        at_app.until("goes on").await;

        scene.log_out(&leaver).await;

        assert_eq!(at_app.rest().await, "", "the app is told: {answer}");
        assert_eq!(upload.rest().await, "", "and the visitor");
        scene.until_open(0).await;
    }
}

#[tokio::test]
async fn an_upload_that_goes_on_after_its_answer_leaves_the_connection_to_the_next_visitor() {
    let scene = Scene::start().await;
    let (leaver, other) = (scene.visitor().await, scene.visitor().await);
    let mut upload = Raw::connect(scene.proxy.addr()).await;
    upload.send(request("/live/upload", &leaver).replace("GET", "POST").replace("Host", "Content-Length: 9\r\nHost") + "half").await;
    let mut at_app = scene.live.accept().await;
    at_app.until("half").await;
    at_app.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    upload.until("ok").await;
    upload.send("whole").await;
    at_app.until("whole").await;
    scene.proxy.logged("/live/upload").await;
    let mut others = scene.ask("/live/poll", &other).await;
    at_app.head().await;

    scene.log_out(&leaver).await;

    at_app.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(others.head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_to_the_app_that_was_reused_is_its_next_visitors() {
    let scene = Scene::start().await;
    let (leaver, other) = (scene.visitor().await, scene.visitor().await);
    let mut first = scene.ask("/live/poll", &leaver).await;
    let mut at_app = scene.live.accept().await;
    at_app.head().await;
    scene.until_open(1).await;
    at_app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    first.until("0\r\n\r\n").await;
    scene.until_open(0).await;
    let mut second = scene.ask("/live/poll", &other).await;
    assert!(at_app.head().await.contains("GET /live/poll"), "on the same connection");
    scene.until_open(1).await;
    at_app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    second.until("half").await;

    let mark = scene.app.mark();
    let mut late = scene.ask("/hang", &leaver).await;
    scene.until_asked(&mark, 1).await;
    scene.log_out(&leaver).await;
    is_turned_out(&mut late).await;

    at_app.send("5\r\nwhole\r\n0\r\n\r\n").await;
    second.until("whole").await;
    second.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_session_that_expires_ends_its_long_poll() {
    let scene = Scene::with("idle_timeout = \"2s\"\n").await;
    let visitor = scene.visitor().await;

    let mut poll = scene.ask("/hang", &visitor).await;

    is_turned_out(&mut poll).await;
}

#[tokio::test]
async fn an_answer_that_ends_its_own_session_comes_whole() {
    let scene = Scene::start().await;
    for wish in ["X-Session-End: this", "X-Session-Login: ada"] {
        let (leaver, other) = (scene.visitor().await, scene.visitor().await);
        let mut visitor = scene.ask("/live/out", &leaver).await;
        let mut at_app = scene.live.accept().await;
        at_app.head().await;
        scene.until_open(1).await;
        at_app.send(format!("HTTP/1.1 200 OK\r\n{wish}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")).await;
        visitor.until("half").await;

        // Whoever came later is looked out for; so this one would be too.
        let later = scene.ask("/hang", &other).await;
        scene.until_open(1).await;
        at_app.send("5\r\nwhole\r\n0\r\n\r\n").await;

        visitor.until("whole").await;
        visitor.until("0\r\n\r\n").await;
        drop(later);
        scene.until_open(0).await;
    }
}

#[tokio::test]
async fn a_logout_on_one_proxy_ends_the_long_poll_on_another() {
    let (mongod, app) = (Mongod::replica_set().await, App::start().await);
    let toml = shared(&mongod, &app, "");
    let (here, there) = (Cloakroom::start(&toml).await, Cloakroom::start(&toml).await);
    there.logged("changes elsewhere are seen at once").await;
    let leaver: Browser = visitor(&here).await;
    let mark = app.mark();
    let mut poll = Raw::connect(there.addr()).await;
    poll.send(request("/hang", &cookie(&leaver))).await;
    until_asked(&app, &mark, 1).await;

    log_out(&here, &cookie(&leaver)).await;

    is_turned_out(&mut poll).await;
}
