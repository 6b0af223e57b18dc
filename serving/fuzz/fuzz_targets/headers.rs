//! The headers of an activation, as lines, then its body: to B, and to the proxy, which sends it on to B. What B
//! takes, it also takes by way of the proxy.

#![no_main]

use axum::http::StatusCode;
use libfuzzer_sys::fuzz_target;
use splitscale_fuzz::{Message, PIPELINE};
use splitscale_serving::wire::{CUT, DEADLINE, PipelineAnswer};

fuzz_target!(|data: &[u8]| {
    let message = Message::read(data);
    let straight = PIPELINE.post(&PIPELINE.b, "/complete", &message).status;
    let Message { headers, .. } = &message;
    let around = PIPELINE.post(&PIPELINE.proxy, "/complete?wait=true", &message);
    // Else the proxy would keep all answers.
    PIPELINE.post(&PIPELINE.proxy, "/clear_responses", &Message { headers: Vec::new(), body: b"" });
    let told = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    // Time may be up on the longer way, and the proxy wants to know where the network is cut.
    let comparable = !message.has(&DEADLINE) && headers.iter().any(|(n, v)| n == CUT && !v.is_empty());
    match around.status {
        StatusCode::OK => assert_eq!(straight, StatusCode::OK),
        StatusCode::BAD_GATEWAY => {
            let run: PipelineAnswer = serde_json::from_slice(&around.body).expect("a run that failed");
            assert!(!comparable || !straight.is_success(), "{}", told(&around.body));
            let error = run.error.expect("it failed");
            assert!(error.contains("stage B answered") || message.has(&DEADLINE), "{error}");
        }
        _ => assert!(!comparable || !straight.is_success(), "{}", told(&around.body)),
    }
});
