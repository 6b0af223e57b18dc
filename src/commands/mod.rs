//! One short file a command: read documents, call a library, write documents.

mod calibrate;
mod collect;
mod contest;
mod demo;
mod deploy;
mod evaluate;
mod explain;
mod fidelity;
mod figures;
mod knee;
mod load;
mod merge;
mod operator;
mod plan;
mod pod;
mod ready;
mod scale;
mod serve;
mod simulate;
mod summary;
mod sweep;
mod train;
mod verify;

use anyhow::Result;

use crate::cli::Command;
pub use summary::Machine;

/// Does what was asked.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(server) => serve::run(server),
        Command::Pod(args) => pod::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Collect(args) => collect::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Fidelity(args) => fidelity::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Knee(args) => knee::run(&args),
        Command::Scale(args) => scale::run(&args),
        Command::Operator(args) => operator::run(&args),
        Command::Contest(args) => contest::run(&args),
        Command::Deploy(args) => deploy::run(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Replay(args) => explain::replay(&args),
        Command::Figures(args) => figures::run(&args).map(drop),
        Command::Demo(args) => demo::run(&args),
    }
}
