//! Schemas of the names that `spec` gives: it knows no schemas itself.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use splitscale_spec::{PodPhase, Stage, Status};

use super::format::ENCODINGS;

pub(super) fn statuses(_: &mut SchemaGenerator) -> Schema {
    of(&[Status::Answered, Status::Refused, Status::Failed, Status::Lost])
}

pub(super) fn encodings(_: &mut SchemaGenerator) -> Schema {
    of(&ENCODINGS)
}

pub(super) fn stages(_: &mut SchemaGenerator) -> Schema {
    of(&[Stage::A, Stage::B])
}

pub(super) fn phases(_: &mut SchemaGenerator) -> Schema {
    of(&[PodPhase::Starting, PodPhase::Ready, PodPhase::Draining])
}

fn of(all: &[impl Serialize]) -> Schema {
    json_schema!({ "type": "string", "enum": all })
}
