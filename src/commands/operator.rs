//! `splitscale operator`: scales the SplitPipelines of a cluster.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use splitscale_deploy::kubernetes::{self, Board, Clients, Election, Journals};

use crate::cli::Operator;
use crate::page::Page;
use crate::{files, interrupt};

/// Runs until told to stop.
pub fn run(args: &Operator) -> Result<()> {
    if args.crd {
        print!("{}", kubernetes::crd_yaml());
        return Ok(());
    }
    interrupt::run(async |stop| {
        let clients = Clients::infer().await?;
        let namespaces = match args.namespace.as_slice() {
            [] => vec![clients.namespace.clone()],
            named => named.to_vec(),
        };
        let board = Board::new(&namespaces);
        let page = Page::bind(&args.listen, None).await?;
        println!("pages at {}", page.url());
        println!("scaling the SplitPipelines of namespace {}", namespaces.join(", "));
        let serving = stop.clone();
        let served = tokio::spawn(page.serve(board.app(), serving));
        let election = (!args.no_leader_election).then(|| Election {
            namespace: namespaces[0].clone(),
            lease: args.lease.clone(),
            identity: args.identity.clone(),
        });
        let operator = kubernetes::Operator {
            clients,
            namespaces,
            declared: args.pipelines.clone(),
            election,
            identity: args.identity.clone(),
            board,
            journals: journals(args.decisions.as_deref())?,
        };
        operator.run(stop.clone()).await;
        stop.cancel();
        served.await.context("the pages failed")
    })
}

/// A file of decisions a pipeline, in a folder that is there before anything is decided.
fn journals(folder: Option<&Path>) -> Result<Journals> {
    let folder: Option<PathBuf> = folder.map(Path::to_path_buf);
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not make the folder {}", folder.display()))?;
    }
    Ok(Arc::new(move |namespace, name| {
        let path = folder.as_ref()?.join(format!("{namespace}.{name}.jsonl"));
        match files::Log::resume_whole(&path) {
            Ok(log) => Some(Box::new(log) as Box<dyn Write + Send>),
            Err(error) => {
                tracing::warn!("the decisions of {namespace}/{name} are not written: {error:#}");
                None
            }
        }
    }))
}
