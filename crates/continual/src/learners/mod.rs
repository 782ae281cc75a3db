//! Learners that users of such a library expect: the baselines, replay, regularisation, constraints, and classifiers of frozen
//! features.

mod accumulated;
mod constraint;
mod elastic;
mod features;
mod finetune;
mod fisher;
mod nearest_mean;
mod replay;
mod slda;
mod without_forgetting;

pub use accumulated::{Accumulated, Start};
pub use constraint::{Gem, project};
pub use elastic::Ewc;
pub use features::{FeatureMap, Frozen, Raw};
pub use finetune::Finetune;
pub use fisher::{FisherEstimate, fisher};
pub use nearest_mean::NearestMean;
pub(crate) use nearest_mean::{UNSEEN, unseen};
pub use replay::{Replay, ReplayMemory};
pub use slda::StreamingLda;
pub use without_forgetting::Lwf;
pub(crate) use without_forgetting::Teacher;

#[cfg(test)]
mod tests;
