//! Signing in and out as people meet it: a real Chromium on our own pages, driven through chromedriver.
mod support;

#[path = "browser/admin.rs"]
mod admin;
#[path = "browser/chromium.rs"]
mod chromium;
#[path = "browser/devices.rs"]
mod devices;
#[path = "browser/gallery.rs"]
mod gallery;
#[path = "browser/house.rs"]
mod house;
#[path = "browser/journey.rs"]
mod journey;
#[path = "browser/pages.rs"]
mod pages;
#[allow(dead_code)] // the sites that other tests start
#[path = "login/site.rs"]
mod site;
