//! What a start would refuse although the settings are right by themselves: files that are not there, or not what they
//! should be. Nothing is made, opened for writing or connected to.

use std::path::Path;

use telegen_config::{OneOrMany, Report};
use telegen_export::{KafkaSink, OtlpSink, RemoteWriteSink};
use telegen_server::Token;

use crate::settings::Settings;

/// Reports what a start with these settings would refuse.
pub(crate) fn trial(settings: &Settings, report: &mut Report) {
    let export = &settings.export;
    each(&export.otlp, "export.otlp", report, |otlp| OtlpSink::new(&otlp.config()).err());
    each(&export.remote_write, "export.remote_write", report, |r| RemoteWriteSink::new(&r.config()).err());
    each(&export.kafka, "export.kafka", report, |kafka| KafkaSink::new(&kafka.config()).err());
    each(&export.file, "export.file", report, |file| not_a_file(&file.path));
    #[cfg(feature = "collector")]
    crate::collector::trial(settings, report);
    let receiver = settings.receive.otlp.as_ref();
    let guards = [
        ("receive.otlp", receiver.and_then(|o| o.tls.as_ref()), receiver.and_then(|o| o.auth.as_ref())),
        ("server", settings.server.tls.as_ref(), settings.server.auth.as_ref()),
    ];
    for (section, tls, auth) in guards {
        if let Some(Err(error)) = tls.map(|tls| telegen_server::acceptor(tls, &[])) {
            report.wrong(&format!("{section}.tls"), error.to_string());
        }
        if let Some(Err(error)) = auth.map(|auth| Token::read(&auth.token_file)) {
            report.wrong(&format!("{section}.auth.token_file"), error.to_string());
        }
    }
}

fn each<T, E: ToString>(
    kind: &Option<OneOrMany<T>>,
    key: &str,
    report: &mut Report,
    wrong: impl Fn(&T) -> Option<E>,
) {
    for (key, one) in kind.iter().flat_map(|k| k.keyed(key)) {
        if let Some(error) = wrong(one) {
            report.wrong(&key, error.to_string());
        }
    }
}

fn not_a_file(path: &Path) -> Option<String> {
    let shown = path.display();
    if std::fs::symlink_metadata(path).is_ok_and(|m| !m.is_file()) {
        return Some(format!("{shown}: is there and no file"));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty())?;
    (!folder.is_dir()).then(|| format!("{}: no such folder", folder.display()))
}
