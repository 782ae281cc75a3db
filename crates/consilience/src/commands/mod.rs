//! One file a verb.

pub mod claim;
pub mod data;
pub mod demo;
pub mod diff;
pub mod inspect;
pub mod merge;
pub mod methods;
pub mod pages;
