//! Who may write: leaders that hang, lose their lease, are killed.

use chrono::{SecondsFormat, Utc};
use reqwest::Method;
use serde_json::json;

use crate::gate::Fate;
use crate::place::Place;
use crate::until;
use crate::world::World;

/// A socket that hangs: whoever stands by takes over, and the first, once it hears something again, writes nothing.
pub(crate) async fn a_leader_that_hangs_is_succeeded(world: &World) {
    let (place, gate) = (Place::new(world, "hung").await, world.gate().await);
    let mut one = place.scaler_behind(&gate, "one").await;
    place.until_done([3, 2]).await;
    let two = place.scaler("two").await;
    gate.rule(|_| Fate::Never);
    place.want(5, 4).await;
    two.until_leads(true).await;
    place.until_done([5, 4]).await;
    assert_eq!(one.get("/livez").await.0, 200, "a call that hangs is given up");
    let before = gate.asked().len();
    gate.open();
    one.until_leads(false).await;
    place.want(6, 5).await;
    place.until_done([6, 5]).await;
    let after = gate.since(before);
    let written = after.iter().find(|asked| asked.writes("/scale") || asked.writes("/status"));
    assert!(written.is_none(), "it leads no more, and writes: {written:?}");
    assert!(one.runs());
    assert_eq!(one.get("/readyz").await, (200, "ready, stands by\n".to_owned()));
}

/// Another takes the lease while A has its pods and B's are being written: the first writes nothing more until it leads again,
/// and then finishes what it began.
pub(crate) async fn the_lease_is_lost_between_two_writes(world: &World) {
    let (place, gate) = (Place::new(world, "lost").await, world.gate().await);
    gate.rule(|asked| if asked.writes("splitscale-b/scale") { Fate::Never } else { Fate::Pass });
    let one = place.scaler_behind(&gate, "one").await;
    until("B is about to be told", async || {
        gate.asked().iter().any(|asked| asked.writes("splitscale-b/scale"))
    })
    .await;
    assert_eq!(place.pods().await, [3, 1]);
    let decision = one.decisions().last().unwrap()["id"].as_u64().unwrap();
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let lease = json!({"spec": {"holderIdentity": "other", "renewTime": now, "leaseDurationSeconds": 15}});
    world.write(Method::PATCH, &place.path("coordination.k8s.io/v1", "leases/splitscale"), lease).await;
    let before = gate.asked().len();
    until("the write is given up", async || one.outcomes().first().is_some_and(|(of, _)| *of == decision))
        .await;
    // The way is free again, the lease is not.
    gate.open();
    let mut mine = before;
    until("the lease of the other ends", async || {
        let asked = gate.asked().len();
        let others = place.leader().await == "other";
        if others {
            mine = asked;
        }
        !others
    })
    .await;
    let while_led = gate.asked()[before..mine].to_vec();
    let written = while_led.iter().find(|asked| asked.writes("/scale"));
    assert!(written.is_none(), "another leads, and it writes: {written:?}");
    place.until_done([3, 2]).await;
    assert_eq!(place.leader().await, "one");
}

/// `kill -9` between the scale of A and that of B: the next leader finishes what was announced.
pub(crate) async fn a_leader_is_killed_between_two_writes(world: &World) {
    let (place, gate) = (Place::new(world, "killed").await, world.gate().await);
    gate.rule(|asked| if asked.writes("splitscale-b/scale") { Fate::Never } else { Fate::Pass });
    let mut one = place.scaler_behind(&gate, "one").await;
    until("B is about to be told", async || {
        gate.asked().iter().any(|asked| asked.writes("splitscale-b/scale"))
    })
    .await;
    one.kill().await;
    let noted = place.status().await["lastDecision"].clone();
    assert_eq!((place.pods().await, &noted["acts"], noted.get("end")), ([3, 1], &json!(true), None));
    let two = place.scaler("two").await;
    place.until_done([3, 2]).await;
    let of = noted["number"].as_u64().unwrap();
    assert_eq!(two.outcomes(), [(of, "finished".to_owned())]);
    assert!(two.decisions()[0]["id"].as_u64().unwrap() > of, "it counts on");
}

/// Two replicas: one acts. Where it is killed the other takes over once its lease has run out, where it is told to end at once.
pub(crate) async fn of_two_one_acts_and_the_other_takes_over(world: &World) {
    let place = Place::new(world, "two").await;
    let mut one = place.scaler("one").await;
    place.until_done([3, 2]).await;
    let mut two = place.scaler("two").await;
    until("it stands by", async || two.get("/readyz").await.1 == "ready, stands by\n").await;
    place.want(4, 3).await;
    place.until_done([4, 3]).await;
    assert!(one.leads().await && !two.leads().await);
    assert!(two.decisions().is_empty(), "who stands by decides nothing");
    one.kill().await;
    place.want(5, 4).await;
    place.until_done([5, 4]).await;
    assert!(two.leads().await);
    let three = place.scaler("three").await;
    until("it stands by", async || three.get("/readyz").await.1 == "ready, stands by\n").await;
    assert_eq!(two.end().await.code(), Some(0), "{}", two.log());
    assert_ne!(place.leader().await, "two", "it is given up");
    place.want(6, 5).await;
    place.until_done([6, 5]).await;
    assert!(three.leads().await);
}
