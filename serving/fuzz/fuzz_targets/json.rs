//! A JSON body: to every route that takes one, and as the answers and documents that are read elsewhere. What
//! can be read is the same once written and read again.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use splitscale_fuzz::{Message, PIPELINE};
use splitscale_policy::{Decision, Policy, Setup};
use splitscale_serving::wire::{Event, PipelineAnswer, PodsState, SlotsState, StageTimes, TailAnswer};
use splitscale_spec::{Calibration, PipelineConfig, RequestRecord};

fuzz_target!(|data: &[u8]| {
    let message = Message { headers: Vec::new(), body: data };
    for path in
        ["/set_threads", "/set_bandwidth", "/set_b", "/set_queue_threshold", "/credits", "/credits/release"]
    {
        PIPELINE.post(&PIPELINE.proxy, path, &message);
    }
    for path in ["/set_pods", "/use_pods", "/credits", "/credits/release"] {
        PIPELINE.post(&PIPELINE.b, path, &message);
    }
    read::<StageTimes>(data);
    read::<TailAnswer>(data);
    read::<PipelineAnswer>(data);
    read::<PodsState>(data);
    read::<SlotsState>(data);
    read::<Event>(data);
    if let Some(record) = read::<RequestRecord>(data) {
        let _ = record.validate();
    }
    if let Some(calibration) = read::<Calibration>(data) {
        let _ = calibration.validate();
    }
    if let Some(policy) = read::<Policy>(data) {
        let _ = policy.validate();
    }
    if let Some(setup) = read::<Setup>(data) {
        let _ = setup.validate();
    }
    read::<Decision>(data);
    if let Some(pipeline) = read::<PipelineConfig>(data) {
        let _ = pipeline.validate();
    }
});

fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let text = serde_json::to_string(&value).expect("it is of numbers, texts and lists");
    assert_eq!(serde_json::from_str::<T>(&text).expect(&text), value);
    Some(value)
}
