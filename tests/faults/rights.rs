//! What the operator may do, asked of the API server: what its Role grants, and nothing else of all there is.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::place::Place;
use crate::world::World;

/// Every verb that RBAC knows.
const VERBS: [&str; 12] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "impersonate",
    "bind",
    "escalate",
    "use",
];
/// What every account of a cluster may do, by roles that Kubernetes brings: ask what it may do itself.
const EVERYBODY: [&str; 3] = ["selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews"];

/// Something that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// Empty for the cluster.
    namespace: String,
    verb: String,
    group: String,
    /// With its subresource, after a slash.
    resource: String,
    /// Empty for all of them.
    name: String,
}

/// All verbs on all resources, subresources included, without a name, with each that the Role has and with another; in the
/// operator's namespace, another, and of the cluster.
pub(crate) async fn nothing_that_the_role_does_not_grant(world: &World) {
    let place = Place::new(world, "rights").await;
    let role = world.get(&place.path("rbac.authorization.k8s.io/v1", "roles/splitscale-scaler")).await;
    let rules = role["rules"].as_array().unwrap();
    let resources = resources(world).await;
    assert!(resources.len() > 60, "{resources:?}");
    let mut questions = Vec::new();
    for (group, resource) in &resources {
        let named = rules.iter().filter(|rule| words(&rule["resources"]).any(|word| word == resource));
        let names: BTreeSet<&str> =
            named.flat_map(|rule| words(&rule["resourceNames"])).chain(["", "another"]).collect();
        for (namespace, verb) in
            [place.name.as_str(), "kube-system", ""].iter().flat_map(|at| VERBS.map(|verb| (*at, verb)))
        {
            questions.extend(names.iter().map(|name| Right {
                namespace: namespace.to_owned(),
                verb: verb.to_owned(),
                group: group.clone(),
                resource: resource.clone(),
                name: (*name).to_owned(),
            }));
        }
    }
    let asked = questions.len();
    eprintln!("    {asked} questions");
    let at = &place;
    let ask = |right: Right| async move { (may(world, at, &right).await, right) };
    let answers = stream::iter(questions).map(ask).buffer_unordered(16).collect::<Vec<_>>().await;
    let expected = |right: &Right| {
        right.namespace == place.name && granted(rules, right)
            || right.verb == "create" && EVERYBODY.contains(&right.resource.as_str())
    };
    let wrong: Vec<_> = answers.into_iter().filter(|(may, right)| *may != expected(right)).collect();
    assert!(
        wrong.is_empty(),
        "of {asked} questions these are granted and should not be, or the other way: {wrong:#?}"
    );
    // And so it is: of two Deployments of the same namespace one is refused.
    world.bed.run(&[
        "kubectl",
        "create",
        "deployment",
        "another",
        "--image=registry.local/pause:1",
        "--namespace",
        &place.name,
    ]);
    for (name, status) in [("splitscale-a", 200), ("another", 403)] {
        let path = place.path("apps/v1", &format!("deployments/{name}/scale"));
        let scale = json!({"spec": {"replicas": 1}});
        assert_eq!(world.status_for(&place.token, Method::PATCH, &path, scale).await, status, "{name}");
    }
    let secrets = format!("/api/v1/namespaces/{}/secrets", place.name);
    assert_eq!(world.status_for(&place.token, Method::GET, &secrets, json!({})).await, 403);
}

/// Whether the API server grants it.
async fn may(world: &World, place: &Place<'_>, right: &Right) -> bool {
    let Right { namespace, verb, group, resource, name } = right;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let account = format!("system:serviceaccount:{}:splitscale-scaler", place.name);
    let groups =
        ["system:serviceaccounts", &format!("system:serviceaccounts:{}", place.name), "system:authenticated"];
    let review = json!({"spec": {"user": account, "groups": groups, "resourceAttributes": {
        "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name,
    }}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    world.write(Method::POST, path, review).await["status"]["allowed"].as_bool().unwrap()
}

/// Whether a rule of the Role does.
fn granted(rules: &[Value], right: &Right) -> bool {
    rules.iter().any(|rule| {
        let has = |field: &str, word: &str| words(&rule[field]).any(|one| one == word || one == "*");
        has("apiGroups", &right.group)
            && has("resources", &right.resource)
            && has("verbs", &right.verb)
            && (rule.get("resourceNames").is_none() || has("resourceNames", &right.name))
    })
}

fn words(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// All resources that the API server knows, by group.
async fn resources(world: &World) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let groups = world.get("/apis").await;
    let mut versions = vec![(String::new(), "/api/v1".to_owned())];
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let path = format!("/apis/{}", version["groupVersion"].as_str().unwrap());
            versions.push((group["name"].as_str().unwrap().to_owned(), path));
        }
    }
    for (group, path) in versions {
        for resource in world.get(&path).await["resources"].as_array().unwrap() {
            found.insert((group.clone(), resource["name"].as_str().unwrap().to_owned()));
        }
    }
    found
}
