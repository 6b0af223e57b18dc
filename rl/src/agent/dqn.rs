//! Deep Q-network (Mnih et al., *Human-level control through deep reinforcement learning*, Nature 2015), with what has
//! proved itself since: double targets (van Hasselt et al., AAAI 2016), dueling heads (Wang et al., ICML 2016), n-step returns
//! (Sutton and Barto, section 7.1; Hessel et al., *Rainbow*, AAAI 2018), targets that follow slowly (Lillicrap et al., ICLR 2016).
//!
//! ```text
//! y = r_1 + discount * r_2 + ... + discount^(k-1) * r_k + discount^k * Q_target(s_k, argmax_a Q(s_k, a))
//! loss = mean of huber(Q(s, a) - y),  huber(d) = d^2 / 2 where |d| <= 1, else |d| - 1 / 2
//! ```
//!
//! k is n, or less at an end. Where the episode terminated the last term is left out; where it was truncated it is kept, s_k its
//! last observation. The argmax goes over the actions that were allowed in s_k. Acting computes with the exported network in
//! plain arithmetic; libtorch (feature `torch`) is there for the updates only.

#[cfg(feature = "torch")]
mod heads;
mod network;
#[cfg(feature = "torch")]
mod parameters;
#[cfg(feature = "torch")]
mod player;
#[cfg(feature = "torch")]
mod replay;
mod settings;
#[cfg(feature = "torch")]
mod update;

pub use network::QNetwork;
#[cfg(feature = "torch")]
pub use player::Dqn;
pub use settings::DqnSettings;
