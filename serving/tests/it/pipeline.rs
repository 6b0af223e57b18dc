//! The whole pipeline on loopback, when all is well: bursts, a closed loop, a measurement.

use std::time::{Duration, Instant};

use splitscale_serving::collect::{Cell, CollectError, Plan, collect};
use splitscale_serving::load::{BurstSpec, ClosedSpec, Halt, Patience, burst, closed_loop};
use splitscale_serving::proxy::ProxyOptions;
use splitscale_serving::wire::{PipelineAnswer, Prediction};
use splitscale_spec::{Replicas, RequestRecord, Status};
use tokio_util::sync::CancellationToken;

use crate::double::{Double, LONG, Line, PAYLOAD, images, line, line_with, proxy_options};

fn spec(size: u32) -> BurstSpec {
    BurstSpec { run_id: 3, size, timeout: LONG, origin: Instant::now() }
}

fn closed(clients: u32) -> ClosedSpec {
    let patience = Patience { timeout: LONG, retries: 0 };
    ClosedSpec { run_id: 4, clients, requests: None, patience, origin: Instant::now() }
}

/// What holds for every request that was answered.
fn check_answered(record: &RequestRecord) {
    record.validate().unwrap();
    assert_eq!(record.status, Status::Answered, "{record:?}");
    let sum_s: f64 = record.phases_s().iter().sum();
    assert!((sum_s - record.latency_s()).abs() < 1e-3, "{sum_s} of {record:?}");
    assert!(record.back_s >= -1e-3, "{record:?}");
    assert_eq!((record.cut.as_str(), record.bytes), ("layer3", PAYLOAD as u64));
    assert!(record.pod_a.is_some() && record.pod_b.is_some());
}

fn makespan_s(records: &[RequestRecord]) -> f64 {
    let (first, last) = (records.iter().map(|r| r.sent_ns).min(), records.iter().map(|r| r.done_ns).max());
    (last.unwrap() - first.unwrap()) as f64 * 1e-9
}

async fn post(line: &Line, path: &str, tag: u8) -> reqwest::Response {
    let part = reqwest::multipart::Part::bytes(images([tag])[0].1.clone()).file_name("x.jpg");
    let form = reqwest::multipart::Form::new().part("file", part);
    reqwest::Client::new().post(format!("{}{path}", line.endpoints.a)).multipart(form).send().await.unwrap()
}

#[tokio::test]
async fn the_originals_routes_answer_with_its_fields() {
    let line = line(&Double::sleeping(1), &Double::sleeping(1), 1, 1).await;
    let answer = post(&line, "/predict", 5).await;
    assert_eq!(answer.status(), 200);
    let direct: Prediction = answer.json().await.unwrap();
    assert_eq!((direct.class_id, direct.class_name.as_str()), (5, "class_5"));
    assert!(direct.total_time >= direct.inference_time_a + direct.inference_time_b);

    let answer = post(&line, "/predict-proxy", 6).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("added to the transfer queue"));
    line.client.wait_idle(LONG).await.unwrap();
    let http = reqwest::Client::new();
    let listed = http.get(format!("{}/responses", line.endpoints.proxy)).send().await.unwrap();
    let listed: Vec<serde_json::Value> = listed.json().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["class_id"], &listed[0]["class_name"]), (&6.into(), &"class_6".into()));
    for field in ["inference_time_a", "inference_time_b", "total_time"] {
        assert!(listed[0][field].as_f64().unwrap() >= 0.001, "{field}: {}", listed[0]);
    }

    let waited: PipelineAnswer = post(&line, "/predict-proxy?wait=true", 7).await.json().await.unwrap();
    assert_eq!((waited.class_id, waited.status), (Some(7), Status::Answered));
    line.stop().await;
}

#[tokio::test]
async fn a_burst_is_answered_whole_and_takes_at_least_what_it_must() {
    let (a_s, b_s, transfer_s) = (0.005, 0.010, 0.010);
    let proxy = |b: &str| ProxyOptions { rtt: Duration::from_secs_f64(transfer_s), ..proxy_options(b, 1) };
    let line = line_with(&Double::sleeping(5), &Double::sleeping(10), 4, proxy).await;
    // (slots, pods): the least time is that of the busiest: A pods, slots, B pods.
    for (slots, pods) in [(1, 2), (4, 2), (4, 4)] {
        line.client.set_threads(slots).await.unwrap();
        line.client.use_pods(Replicas { a: pods, b: pods }).await.unwrap();
        let records = burst(&line.client, &images(1..=20), &spec(20)).await.unwrap();
        assert_eq!(records.len(), 20);
        for (record, number) in records.iter().zip(0..) {
            check_answered(record);
            assert_eq!((record.run_id, record.request_id), (3, number));
            assert_eq!((record.slots, record.pods_a, record.pods_b), (slots, pods, pods));
            assert!(record.pod_a.unwrap() < pods && record.pod_b.unwrap() < pods);
            assert!(
                record.forward_a_s >= a_s && record.forward_b_s >= b_s && record.transfer_s >= transfer_s
            );
        }
        let least_s = [a_s / f64::from(pods), (transfer_s + b_s) / f64::from(slots), b_s / f64::from(pods)]
            .into_iter()
            .fold(0.0, f64::max)
            * 20.0;
        assert!(makespan_s(&records) >= least_s, "{} < {least_s}", makespan_s(&records));
    }
    line.stop().await;
}

#[tokio::test]
async fn the_emulated_link_takes_bytes_over_bandwidth_and_back_stays_apart_from_it() {
    // 4096 bytes at 0.0655 Mbit/s: 0.5 s.
    let mbit_s = PAYLOAD as f64 * 8e-6 / 0.4;
    let proxy = |b: &str| ProxyOptions {
        slot_bandwidth_mbit_s: Some(mbit_s),
        rtt: Duration::from_millis(50),
        sleep: Duration::from_millis(50),
        ..proxy_options(b, 1)
    };
    let line = line_with(&Double::sleeping(2), &Double::sleeping(2), 1, proxy).await;
    let records = burst(&line.client, &images([1]), &spec(1)).await.unwrap();
    check_answered(&records[0]);
    assert!(records[0].transfer_s >= 0.5, "{:?}", records[0]);
    assert!(records[0].back_s < 0.5, "half a second of known delay has leaked into back: {:?}", records[0]);
    assert_eq!(records[0].bandwidth_mbit_s, Some(mbit_s));

    // The proxy counts the same: bytes over transfer time is no more than the bandwidth.
    let url = format!("{}/metrics", line.endpoints.proxy);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let value = |name: &str| -> f64 {
        let found = text.lines().find(|line| line.starts_with(name)).unwrap();
        found.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (bytes, busy_s) = (value("split_transfer_bytes_total"), value("split_transfer_seconds_total"));
    assert_eq!(bytes, PAYLOAD as f64);
    assert!((busy_s - records[0].transfer_s).abs() < 1e-9);
    assert!(bytes * 8e-6 / busy_s <= mbit_s);
    assert_eq!(value("split_pipeline_duration_seconds_count"), 1.0);
    let total_s = records[0].latency_s() - records[0].back_s;
    assert!((value("split_pipeline_duration_seconds_sum") - total_s).abs() < 1e-6);
    // Slot seconds: held for the transfer and for B.
    let held_s = value("split_transfer_slot_held_seconds_total");
    assert!((held_s - records[0].transfer_s - records[0].queue_b_s - records[0].service_b_s()).abs() < 1e-6);
    line.stop().await;
}

#[tokio::test]
async fn a_closed_loop_accounts_for_every_request_while_pods_and_slots_change() {
    let line = line(&Double::sleeping(3), &Double::sleeping(2), 4, 8).await;
    let stop = CancellationToken::new();
    let mut records = Vec::new();
    let images = images(1..=9);
    let spec = closed(6);
    let halt = Halt { stop: stop.clone(), ..Halt::default() };
    let load = closed_loop(&line.client, &images, &spec, halt, |ended| records.push(ended.record));
    let changes = async {
        for (pods, slots) in [(4, 1), (1, 1), (2, 8), (8, 8), (1, 2), (3, 4)] {
            line.client.set_threads(slots).await.unwrap();
            line.client.set_pods(Replicas { a: pods, b: pods }, LONG).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        stop.cancel();
    };
    let (sent, ()) = tokio::join!(load, changes);
    assert_eq!(sent.unwrap() as usize, records.len());
    records.sort_by_key(|record| record.request_id);
    for (record, number) in records.iter().zip(0..) {
        assert_eq!(record.request_id, number);
        check_answered(record);
    }
    assert!(records.len() >= 6, "each client was answered at least once");
    line.stop().await;
}

#[tokio::test]
async fn a_measurement_hands_out_every_burst_and_sets_what_it_says() {
    let line = line(&Double::sleeping(1), &Double::sleeping(1), 1, 1).await;
    let plan = Plan {
        slots: vec![1, 3],
        pods: vec![1, 2],
        images_per_burst: 5,
        repeats: 2,
        warm_up: 1,
        seed: 7,
        burst_timeout: LONG,
        done: 0,
    };
    let mut bursts = Vec::new();
    collect(&plan, &line.client, &images(1..=3), |cell, records| {
        records.iter().for_each(check_answered);
        bursts.push((cell, records[0].clone(), records.len()));
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(bursts.iter().map(|burst| burst.0).collect::<Vec<_>>(), plan.order());
    for (number, (cell, first, size)) in bursts.iter().enumerate() {
        assert_eq!((first.run_id as usize, *size), (number, 5));
        assert_eq!((first.pods_a, first.pods_b, first.slots), (cell.pods, cell.pods, cell.slots));
    }

    let mut kept = 0;
    let full = collect(&plan, &line.client, &images([1]), |_, _| {
        kept += 1;
        if kept == 3 { Err("the disk is full".into()) } else { Ok(()) }
    })
    .await;
    let error = full.unwrap_err();
    assert!(
        matches!(error, CollectError::Kept(_)) && error.to_string().contains("the disk is full"),
        "{error}"
    );
    assert_eq!(kept, 3);
    line.stop().await;
}

#[test]
fn the_order_is_every_cell_in_every_repeat_and_follows_the_seed() {
    let plan = Plan {
        slots: vec![1, 2, 4],
        pods: vec![2, 4, 6, 8],
        images_per_burst: 20,
        repeats: 2,
        warm_up: 1,
        seed: 1,
        burst_timeout: LONG,
        done: 0,
    };
    let order = plan.order();
    for (repeat, block) in order.chunks(12).enumerate() {
        let mut cells: Vec<(u32, u32)> = block.iter().map(|cell| (cell.slots, cell.pods)).collect();
        cells.sort_unstable();
        let all = plan.slots.iter().flat_map(|&slots| plan.pods.iter().map(move |&pods| (slots, pods)));
        assert_eq!(cells, all.collect::<Vec<_>>());
        assert!(block.iter().all(|cell| cell.repeat == repeat as u32));
    }
    assert_eq!(order, plan.order());
    assert_ne!(order, Plan { seed: 2, ..plan.clone() }.order());
    // The bytes of seed 1, so that a measurement can be repeated in its order by any version.
    let first: Vec<Cell> = order.into_iter().take(3).collect();
    assert_eq!(first, FIRST_OF_SEED_1);

    for (broken, field) in [
        (Plan { slots: vec![], ..plan.clone() }, "slots"),
        (Plan { pods: vec![2, 0], ..plan.clone() }, "pods"),
        (Plan { images_per_burst: 0, ..plan.clone() }, "images_per_burst"),
        (Plan { repeats: 0, ..plan.clone() }, "repeats"),
        (Plan { burst_timeout: Duration::ZERO, ..plan.clone() }, "burst_timeout"),
    ] {
        assert_eq!(broken.validate().unwrap_err().field, field);
    }
}

const FIRST_OF_SEED_1: [Cell; 3] = [
    Cell { slots: 2, pods: 2, repeat: 0 },
    Cell { slots: 4, pods: 8, repeat: 0 },
    Cell { slots: 1, pods: 6, repeat: 0 },
];
