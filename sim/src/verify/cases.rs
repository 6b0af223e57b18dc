//! The committed experiments that together have every exact answer there is.

/// File name and text of each, in the order in which they are told.
pub const CASES: &[(&str, &str)] = &[
    ("mm1.toml", include_str!("../../verify/mm1.toml")),
    ("mmc.toml", include_str!("../../verify/mmc.toml")),
    ("mmck.toml", include_str!("../../verify/mmck.toml")),
    ("loss.toml", include_str!("../../verify/loss.toml")),
    ("deadline.toml", include_str!("../../verify/deadline.toml")),
    ("mg1.toml", include_str!("../../verify/mg1.toml")),
    ("mdc.toml", include_str!("../../verify/mdc.toml")),
    ("gim1.toml", include_str!("../../verify/gim1.toml")),
    ("shared-core.toml", include_str!("../../verify/shared-core.toml")),
    ("balancers.toml", include_str!("../../verify/balancers.toml")),
    ("tandem.toml", include_str!("../../verify/tandem.toml")),
    ("closed.toml", include_str!("../../verify/closed.toml")),
    ("open.toml", include_str!("../../verify/open.toml")),
    ("saturated.toml", include_str!("../../verify/saturated.toml")),
    ("burst.toml", include_str!("../../verify/burst.toml")),
    ("constant-burst.toml", include_str!("../../verify/constant-burst.toml")),
];
