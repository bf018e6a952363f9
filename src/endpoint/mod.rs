//! The pages and answers that Cloakroom gives itself.

pub mod pages;
