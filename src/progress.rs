//! Progress on the terminal; nothing where there is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of known length.
pub fn bar(what: &'static str, length: u64, unit: &'static str) -> ProgressBar {
    let template = format!("{what} {{bar:30}} {{pos}}/{{len}} {unit}, {{eta}} left {{msg}}");
    ProgressBar::new(length).with_style(style(&template))
}

/// Something that turns while one waits.
pub fn spinner(what: &'static str) -> ProgressBar {
    let spinner =
        ProgressBar::new_spinner().with_style(style("{spinner} {msg} {elapsed}")).with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
