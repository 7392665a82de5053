//! `telegen snmp import` and `telegen snmp test-profile`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use telegen_model::{MetricData, NumberValue, Records, Value};
use telegen_snmp::poll::{Credential, Single, Target};
use telegen_snmp::profile::{Library, import, telegraf};
use telegen_snmp::settings::Names;

use super::access::AccessArgs;
use crate::cli::{DONE, FAILED, USAGE, answer, complain};

/// What is imported.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// snmp_exporter's snmp.yml, or a configuration of Telegraf with `[[inputs.snmp]]`.
    file: PathBuf,
    /// Name of the module; may be left out when there is only one.
    #[arg(long, short = 'm')]
    module: Option<String>,
}

/// Prints the profile; what has no counterpart is told on standard error.
pub(crate) fn run(args: &ImportArgs) -> u8 {
    let text = match std::fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(e) => {
            complain(&format!("telegen snmp import: {}: {e}", args.file.display()));
            return FAILED;
        }
    };
    let module = args.module.as_deref();
    let imported = match telegraf::is_telegraf(&text) {
        true => telegraf::telegraf(&text, module),
        false => import::snmp_exporter(&text, module),
    };
    match imported {
        Ok(imported) => {
            for line in &imported.left_out {
                complain(&format!("telegen snmp import: left out: {line}"));
            }
            match import::to_yaml(&imported.profile) {
                Ok(yaml) => answer(&yaml),
                Err(e) => {
                    complain(&format!("telegen snmp import: {e}"));
                    FAILED
                }
            }
        }
        Err(e) => {
            complain(&format!("telegen snmp import: {}: {e}", args.file.display()));
            USAGE
        }
    }
}

/// What is polled.
#[derive(Debug, Args)]
pub(crate) struct TestProfileArgs {
    /// `HOST` or `HOST:PORT`; port 161 unless given.
    address: String,
    /// Profile by name, or `auto`.
    #[arg(long, default_value = "auto")]
    profile: String,
    /// Folder with profiles besides those that are built in; may be repeated.
    #[arg(long = "profiles")]
    folders: Vec<String>,
    /// Names after the MIB's objects.
    #[arg(long)]
    mib: bool,
    #[command(flatten)]
    access: AccessArgs,
}

/// Polls once; a line a point. Exit 0: the device answered.
pub(crate) fn test_profile(args: &TestProfileArgs) -> u8 {
    let access = match args.access.access() {
        Ok(access) => access,
        Err(what) => {
            complain(&format!("telegen snmp test-profile: {what}"));
            return USAGE;
        }
    };
    let names = if args.mib { Names::Mib } else { Names::Otel };
    let library = match Library::load(&args.folders, names) {
        Ok(library) => library,
        Err(e) => {
            complain(&format!("telegen snmp test-profile: {e}"));
            return USAGE;
        }
    };
    if args.profile != "auto" && library.get(&args.profile).is_none() {
        complain(&format!("telegen snmp test-profile: no profile {}", args.profile));
        return USAGE;
    }
    let target = Target {
        name: args.address.clone(),
        address: args.address.clone(),
        credentials: vec![Credential { name: "command line".into(), access }],
        interval: Duration::from_secs(60),
        profile: args.profile.clone(),
        labels: Default::default(),
        tries_a_minute: 10,
    };
    let polled =
        Single::new(Arc::new(target), Arc::new(library)).and_then(|mut s| s.poll(telegen_sys::unix_ns()));
    let (status, group) = match polled {
        Ok(polled) => polled,
        Err(e) => {
            complain(&format!("telegen snmp test-profile: {e}"));
            return FAILED;
        }
    };
    let mut out = String::new();
    for kv in group.resource.attrs() {
        out.push_str(&format!("# {} = {}\n", kv.key, text(&kv.value)));
    }
    if let Records::Metrics(metrics) = &group.records {
        for metric in metrics {
            let points = match &metric.data {
                MetricData::Gauge(points) | MetricData::Sum { points, .. } => points,
                _ => continue,
            };
            for point in points {
                let attrs: Vec<String> =
                    point.attrs.iter().map(|kv| format!("{}={:?}", kv.key, text(&kv.value))).collect();
                let value = match point.value {
                    NumberValue::Int(i) => i.to_string(),
                    NumberValue::Double(d) => d.to_string(),
                };
                out.push_str(&format!("{}{{{}}} {value}\n", metric.name, attrs.join(", ")));
            }
        }
    }
    if let Some(error) = &status.last_error {
        complain(&format!("telegen snmp test-profile: {}: {error}", args.address));
    }
    let printed = answer(&out);
    if printed == DONE && status.state == telegen_snmp::poll::DeviceState::Down { FAILED } else { printed }
}

fn text(value: &Value) -> String {
    match value {
        Value::Str(s) => s.to_string(),
        Value::Int(i) => i.to_string(),
        other => format!("{other:?}"),
    }
}
