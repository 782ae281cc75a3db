//! One file a verb.

pub mod diff;
pub mod inspect;
pub mod merge;
pub mod pages;
