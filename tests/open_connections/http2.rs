//! The same over HTTP/2, where many requests share a connection.
use super::super::support::h2raw::{Connection, End};
use super::scene::Scene;

fn request(target: &str, cookie: &str) -> String {
    format!(":method: GET\n:scheme: http\n:path: {target}\n:authority: a\naccept: */*\ncookie: {cookie}")
}

#[tokio::test]
async fn on_http_2_streams_and_polls_end_with_their_session_and_the_others_on_the_connection_stay() {
    let scene = Scene::start().await;
    let (leaver, other) = (scene.visitor().await, scene.visitor().await);
    let mut visitors = Connection::to(scene.proxy.addr()).await;
    let mut streams = Vec::new();
    for cookie in [&leaver, &other] {
        let stream = visitors.ask(&request("/live/events", cookie)).await;
        let mut app = scene.live.accept().await;
        app.head().await;
        app.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n").await;
        visitors.answer(stream, |answer| answer.body.contains("data: 1")).await;
        streams.push((stream, app));
    }
    let mark = scene.app.mark();
    let (theirs, others) = (visitors.ask(&request("/hang", &leaver)).await, visitors.ask(&request("/slow?ms=1500", &other)).await);
    scene.until_asked(&mark, 2).await;

    scene.log_out(&leaver).await;

    let [(cut, app), (stays, other_app)] = streams.as_mut_slice() else { panic!("two streams") };
    let end = visitors.answer(*cut, |answer| answer.end.is_some()).await;
    assert_eq!((end.status, end.end, end.body.as_str()), (Some(200), Some(End::Reset), "data: 1\n\n"));
    assert_eq!(app.rest().await, "", "the app is told");
    let refused = visitors.answer(theirs, |answer| answer.end.is_some()).await;
    assert_eq!((refused.status, refused.end), (Some(401), Some(End::Whole)), "{refused:?}");
    assert!(refused.body.contains("\"session\":\"ended\""), "{refused:?}");
    other_app.send("9\r\ndata: 2\n\n\r\n").await;
    visitors.answer(*stays, |answer| answer.body.contains("data: 2")).await;
    let answered = visitors.answer(others, |answer| answer.end.is_some()).await;
    assert_eq!((answered.status, answered.end), (Some(200), Some(End::Whole)));
}

#[tokio::test]
async fn a_small_answer_that_its_app_takes_long_over_is_cut_too() {
    // On HTTP/2, because of one on HTTP/1 whose length is known nothing leaves before it is whole.
    let scene = Scene::start().await;
    let leaver = scene.visitor().await;
    let mut visitors = Connection::to(scene.proxy.addr()).await;
    let stream = visitors.ask(&request("/live/poll", &leaver)).await;
    let mut app = scene.live.accept().await;
    app.head().await;
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\ndata: 1").await;
    visitors.answer(stream, |answer| answer.body.contains("data: 1")).await;

    scene.log_out(&leaver).await;

    let end = visitors.answer(stream, |answer| answer.end.is_some()).await;
    assert_eq!((end.end, end.body.as_str()), (Some(End::Reset), "data: 1"));
    assert_eq!(app.rest().await, "", "the app is told");
}
