//! What is wrong with the API server, or the way to it.

use serde_json::Value;

use crate::bed::Bed;
use crate::gate::Fate;
use crate::place::Place;
use crate::until;
use crate::world::World;

/// The kind SplitPipeline is not there: that is told once with what installs it, and it begins once it is.
pub(crate) async fn the_kind_is_not_installed(world: &World) {
    world.bed.run(&["kubectl", "delete", "crd", "splitpipelines.splitscale.io", "--ignore-not-found"]);
    let place = Place::bare(world, "kind").await;
    let mut scaler = place.scaler("one").await;
    let told = |log: String| {
        let begin = format!("SplitPipelines of namespace {} cannot be watched", place.name);
        log.lines().filter(|line| line.contains(&begin)).map(str::to_owned).collect::<Vec<_>>()
    };
    until("it is told", async || !told(scaler.log()).is_empty()).await;
    scaler.until_leads(true).await;
    let words = format!("SplitPipelines are not known yet in {}", place.name);
    assert_eq!(scaler.get("/readyz").await, (503, words));
    assert_eq!(scaler.get("/livez").await.0, 200);
    world.install();
    place.create(|_| {}).await;
    place.until_pods([3, 2]).await;
    assert_eq!(scaler.get("/readyz").await, (200, "ready, leads\n".to_owned()));
    let told = told(scaler.log());
    assert!(told[0].contains("splitscale operator --crd | kubectl apply --server-side -f -"), "{told:?}");
    assert_eq!(told.len(), 1, "it is said once: {told:?}");
    assert!(scaler.runs());
}

/// It crashes, and is started again.
pub(crate) async fn the_api_server_stops(world: &World) {
    is_gone(world, "stop").await;
}

/// Its sockets are there, and nothing is answered.
pub(crate) async fn the_api_server_hangs(world: &World) {
    is_gone(world, "hang").await;
}

/// Nothing is decided, for nobody knows how many pods there are to be, and nothing ends; then it goes on.
async fn is_gone(world: &World, how: &str) {
    let place = Place::new(world, how).await;
    let mut scaler = place.scaler("one").await;
    place.until_done([3, 2]).await;
    let outcomes = scaler.outcomes();
    world.bed.run(&[how, "apiserver"]);
    let back = Back(&world.bed, &["start", "apiserver"]);
    let blind = |decision: &Value| decision["from"].is_null() && decision["pods"].is_null();
    until("decisions know nothing", async || scaler.decisions().last().is_some_and(blind)).await;
    let decisions = scaler.until_decisions(5).await;
    assert!(decisions.iter().all(blind), "{decisions:?}");
    let why = decisions.last().unwrap()["why"].to_string();
    assert!(why.contains("stage a does not answer"), "{why}");
    assert_eq!(scaler.get("/livez").await, (200, "ok\n".to_owned()));
    drop(back);
    assert_eq!((place.pods().await, scaler.outcomes()), ([3, 2], outcomes), "nothing was done meanwhile");
    place.want(5, 4).await;
    place.until_done([5, 4]).await;
    assert!(scaler.runs());
}

/// Everything is asked again at the next tick and no sooner, and what the storm kept from being done is done after it.
pub(crate) async fn everything_is_answered_503(world: &World) {
    let (place, gate) = (Place::new(world, "storm").await, world.gate().await);
    let mut scaler = place.scaler_behind(&gate, "one").await;
    place.until_done([3, 2]).await;
    let (asked, decided) = (gate.asked().len(), scaler.decisions().len());
    gate.rule(|_| Fate::Answer(503));
    gate.cut();
    place.want(5, 4).await;
    scaler.until_decisions(20).await;
    let (asked, ticks) = (gate.since(asked), scaler.decisions().len() - decided);
    let scales = |method: &str| {
        asked.iter().filter(|asked| asked.method == method && asked.path.ends_with("/scale")).count()
    };
    assert_eq!(scales("PATCH"), 0, "nothing is written");
    assert!(scales("GET") <= 2 * (ticks + 2), "{} reads of two scales in {ticks} ticks", scales("GET"));
    let others = asked.len() - scales("GET");
    assert!(others <= 2 * (ticks + 2), "{others} other calls in {ticks} ticks: {asked:?}");
    assert_eq!(place.pods().await, [3, 2]);
    gate.open();
    place.until_done([5, 4]).await;
    assert!(scaler.runs());
}

/// A has taken its pods and B does not: A's are taken back, and it is not tried again at once.
pub(crate) async fn the_second_write_is_answered_503(world: &World) {
    let (place, gate) = (Place::new(world, "second").await, world.gate().await);
    gate.rule(|asked| match asked.writes("splitscale-b/scale") {
        true => Fate::Answer(503),
        false => Fate::Pass,
    });
    let scaler = place.scaler_behind(&gate, "one").await;
    until("A is told back", async || scaler.outcomes().len() == 2).await;
    let [half, back] = scaler.outcomes().try_into().unwrap();
    assert_eq!((half.1.as_str(), back.1.as_str(), half.0), ("half", "rolled_back", back.0));
    assert_eq!(place.pods().await, [1, 1]);
    place.until_condition("Ready", "False", "ChangeFailed").await;
    scaler.until_decisions(5).await;
    let tries = gate.asked().iter().filter(|asked| asked.writes("splitscale-b/scale")).count();
    assert_eq!((tries, place.pods().await), (2, [1, 1]), "told and finished, once each");
    gate.open();
    place.until_done([3, 2]).await;
    place.until_condition("Ready", "True", "Deciding").await;
}

/// Every watch is answered 410 Gone, by the API server itself: it is listed anew, and nothing that changed meanwhile is missed.
pub(crate) async fn every_watch_has_expired(world: &World) {
    let (place, gate) = (Place::new(world, "expired").await, world.gate().await);
    let scaler = place.scaler_behind(&gate, "one").await;
    place.until_done([3, 2]).await;
    let pipelines = place.path("splitscale.io/v1alpha1", "splitpipelines");
    let expired =
        world.ask(reqwest::Method::GET, &format!("{pipelines}?watch=true&resourceVersion=1"), None).await;
    assert!(expired.1.to_string().contains("410"), "it is not too old: {expired:?}");
    let before = gate.asked().len();
    gate.rule(|asked| if asked.watches() { Fate::Old } else { Fate::Pass });
    gate.cut();
    place.want(5, 4).await;
    place.until_done([5, 4]).await;
    let lists = gate.since(before);
    assert!(lists.iter().any(|asked| asked.path == pipelines && !asked.watches()), "{lists:?}");
    gate.open();
    place.want(2, 2).await;
    place.until_done([2, 2]).await;
    assert_eq!(scaler.get("/livez").await.0, 200);
}

/// Puts something of the bed back when it is dropped, so that a case that fails spoils no other.
pub(crate) struct Back<'a>(pub(crate) &'a Bed, pub(crate) &'a [&'a str]);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.run(self.1);
    }
}
