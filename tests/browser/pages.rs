//! What holds for every page of ours, however it is looked at.

use crate::chromium::{Chromium, Screen};
use crate::gallery::tour;
use std::path::{Path, PathBuf};

const AXE: &str = "tests/apps/node/node_modules/axe-core/axe.min.js";

/// The rules that axe found broken, with the elements; and how many it found kept.
const RUN_AXE: &str = "const done = arguments[arguments.length - 1];
    const told = broken => broken.id + ': ' + broken.nodes.map(node => node.html + ' ' + node.failureSummary).join('; ');
    axe.run().then(found => done([found.violations.map(told), found.passes.length]), error => done([[String(error)], 0]))";

#[tokio::test]
async fn no_page_bars_anybody_in_light_or_dark_as_far_as_axe_can_tell() {
    let axe = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE));
    let axe = axe.unwrap_or_else(|error| panic!("{AXE}: {error}; `tests/run` installs it"));
    let chromium = Chromium::start(Screen::DESK).await;

    tour(&chromium, async |page| {
        chromium.ask(&axe).await;
        for (width, scheme) in [(1200, "light"), (360, "dark")] {
            chromium.resize(width).await;
            chromium.prefer(scheme).await;

            let found = chromium.ask_later(RUN_AXE).await;

            assert_eq!(found[0].as_array().map(Vec::len), Some(0), "{page}, {width} px, {scheme}: {:#}", found[0]);
            assert!(found[1].as_u64() > Some(10), "{page}: axe has hardly looked");
        }
    })
    .await;
}

#[tokio::test]
async fn every_page_fits_its_window_in_light_and_dark_and_keeps_its_own_policy() {
    let album = album();
    let chromium = Chromium::start(Screen::DESK).await;

    tour(&chromium, async |page| {
        for width in [1200, 360] {
            let mut papers = Vec::new();
            for scheme in ["light", "dark"] {
                chromium.resize(width).await;
                chromium.prefer(scheme).await;
                std::fs::write(album.join(format!("{page}-{width}-{scheme}.png")), chromium.photograph().await).expect("written");
                chromium.assert_fits(width).await;
                papers.push(chromium.ask("return getComputedStyle(document.body).backgroundColor").await);
            }
            assert_ne!(papers[0], papers[1], "{page} is the same in light and dark");
        }
        let own = format!("{} ", chromium.address().await);
        // A refusal's status is in the console as well, under the page's own address.
        let is_status = |line: &String| line.starts_with(&own) && line.contains("responded with a status of");
        let complaints: Vec<_> = chromium.complaints().await.into_iter().filter(|line| !is_status(line)).collect();
        assert_eq!(complaints, Vec::<String>::new(), "{page}");
    })
    .await;
}

/// Where the photographs are put: `$CLOAKROOM_SCREENSHOTS`, or a folder among the temporary ones.
fn album() -> PathBuf {
    let chosen = std::env::var_os("CLOAKROOM_SCREENSHOTS").map(PathBuf::from);
    let album = chosen.unwrap_or_else(|| std::env::temp_dir().join("cloakroom-screenshots"));
    std::fs::create_dir_all(&album).expect("a folder");
    album
}
