//! `/cluster`, and `seawall cluster`, which shows it: the nodes of a fleet as one of them sees them, and what each
//! says of itself.
//!
//! - `view`: the answer as values. `attention`: what of it an operator should look at.
//! - `ask`: fetches it from a node's administration port. `table`: shows it on a terminal.

mod ask;
mod attention;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use ask::{AskError, ClusterAnswer, ask};
pub(crate) use view::{
    AgentsHere, ClusterView, LeaseFigures, LeaseView, NodeReport, NodeView, ShardsHere, ShareView,
    StoreView,
};
