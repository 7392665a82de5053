//! What to call a service when nobody said: the jar, script, module or package that an interpreter runs.

use std::path::Path;

/// Where a service's name came from, in falling order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSource {
    /// `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` of the process.
    Environment,
    /// The container's name.
    Container,
    /// The systemd unit.
    Unit,
    /// The jar, script, module or package.
    Runtime,
    /// The executable.
    Executable,
}

impl NameSource {
    /// One word for the page.
    pub fn name(self) -> &'static str {
        match self {
            NameSource::Environment => "environment",
            NameSource::Container => "container",
            NameSource::Unit => "unit",
            NameSource::Runtime => "runtime",
            NameSource::Executable => "executable",
        }
    }
}

/// A name and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name; never empty, at most [`NAME_MAX`] bytes.
    pub name: String,
    /// Where it came from.
    pub source: NameSource,
}

/// Longest service name.
pub(crate) const NAME_MAX: usize = 128;

/// What runs a process's code, when it is not the executable itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// `process.runtime.name`, such as `cpython`, `nodejs`, `OpenJDK Runtime Environment`; empty for native code.
    pub name: &'static str,
    /// `process.runtime.version`, where the path tells it.
    pub version: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Native,
    Python,
    Node,
    Java,
    DotNet,
    Ruby,
    Php,
    Perl,
    Shell,
}

/// The runtime of an executable, by its name.
pub(crate) fn runtime_of(exe: &Path) -> Runtime {
    let base = base(exe);
    let version = |prefix: &str| {
        let v = base.strip_prefix(prefix).unwrap_or_default();
        if v.starts_with(|c: char| c.is_ascii_digit()) { v.to_owned() } else { String::new() }
    };
    match kind_of(base) {
        Kind::Python => Runtime { name: "cpython", version: version("python") },
        Kind::Node => Runtime { name: "nodejs", version: String::new() },
        Kind::Java => Runtime { name: "java", version: String::new() },
        Kind::DotNet => Runtime { name: ".NET", version: String::new() },
        Kind::Ruby => Runtime { name: "ruby", version: version("ruby") },
        Kind::Php => Runtime { name: "php", version: version("php") },
        Kind::Native | Kind::Perl | Kind::Shell => Runtime::default(),
    }
}

/// What the arguments of an interpreter tell: the name of what it runs.
///
/// `exe` is the executable, `argv` its arguments with `argv[0]` first. `None` when it runs nothing that has a name, and
/// for native code. `package` reads the package name of a Node.js project by the path of its script.
pub(crate) fn runtime_name(
    exe: &Path,
    argv: &[String],
    package: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let args = argv.get(1..).unwrap_or_default();
    let name = match kind_of(base(exe)) {
        Kind::Python => python(args),
        Kind::Node => {
            let script = script(args, &["-r", "--require", "--import", "-C", "--conditions", "--env-file"])?;
            package(script).or_else(|| script_name(script))
        }
        Kind::Java => java(args),
        Kind::DotNet => {
            args.iter().find(|a| a.ends_with(".dll") || a.ends_with(".exe")).and_then(|a| stem(a))
        }
        Kind::Ruby => script(args, &["-I", "-r", "-C", "-E"]).and_then(script_name),
        Kind::Php => script(args, &["-d", "-c", "-S", "-t"]).and_then(script_name),
        Kind::Perl => script(args, &["-I"]).and_then(script_name),
        Kind::Shell => script(args, &["-o", "-O"]).and_then(script_name),
        Kind::Native => None,
    }?;
    let name = clean(&name);
    (!name.is_empty()).then_some(name)
}

/// A name of an executable: its file name.
pub(crate) fn executable_name(exe: &Path) -> String {
    clean(base(exe))
}

/// Without control characters, and cut to [`NAME_MAX`] bytes.
pub(crate) fn clean(name: &str) -> String {
    let mut out = String::new();
    for c in name.trim().chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > NAME_MAX {
            break;
        }
        out.push(c);
    }
    out
}

fn base(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or_default()
}

fn kind_of(base: &str) -> Kind {
    let versioned = |name: &str| {
        base.strip_prefix(name).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    match base {
        "node" | "nodejs" => Kind::Node,
        "java" => Kind::Java,
        "dotnet" => Kind::DotNet,
        "sh" | "bash" | "dash" | "zsh" | "ash" | "busybox" => Kind::Shell,
        _ if versioned("python") || versioned("pypy") => Kind::Python,
        _ if versioned("ruby") => Kind::Ruby,
        _ if versioned("php") => Kind::Php,
        _ if versioned("perl") => Kind::Perl,
        _ => Kind::Native,
    }
}

/// The first argument that is neither an option nor an option's value.
fn script<'a>(args: &'a [String], with_value: &[&str]) -> Option<&'a str> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            return args.next().map(String::as_str);
        }
        if arg == "-e" || arg == "-c" || arg == "-p" || arg == "--eval" {
            return None;
        }
        if with_value.contains(&arg.as_str()) {
            args.next();
        } else if !arg.starts_with('-') {
            return Some(arg);
        }
    }
    None
}

/// Programs that serve an application named by a later argument `MODULE:OBJECT`.
const LAUNCHERS: [&str; 8] =
    ["gunicorn", "uvicorn", "hypercorn", "daphne", "waitress-serve", "granian", "uwsgi", "celery"];

fn python(args: &[String]) -> Option<String> {
    let mut i = 0;
    while let Some(arg) = args.get(i) {
        match arg.as_str() {
            "-m" => {
                let module = args.get(i + 1)?;
                return served(module, &args[i + 2..]).or_else(|| Some(module.clone()));
            }
            "-c" => return None,
            "-W" | "-X" | "--check-hash-based-pycs" => i += 2,
            a if a.starts_with("-m") && a.len() > 2 => return Some(a[2..].to_owned()),
            a if a.starts_with('-') => i += 1,
            a => {
                let name = script_name(a)?;
                return served(&name, &args[i + 1..]).or(Some(name));
            }
        }
    }
    None
}

fn served(launcher: &str, args: &[String]) -> Option<String> {
    if launcher == "flask" {
        let app = args.iter().position(|a| a == "--app" || a == "-A").and_then(|i| args.get(i + 1))?;
        return stem(app.split(':').next()?);
    }
    if !LAUNCHERS.contains(&launcher) {
        return None;
    }
    if launcher == "celery" {
        let app = args.iter().position(|a| a == "--app" || a == "-A").and_then(|i| args.get(i + 1))?;
        return Some(app.split(':').next()?.to_owned());
    }
    args.iter().filter(|a| !a.starts_with('-') && !a.contains('/')).find_map(|a| {
        a.split_once(':').filter(|(m, o)| is_dotted(m) && is_dotted(o)).map(|(m, _)| m.to_owned())
    })
}

fn is_dotted(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

fn java(args: &[String]) -> Option<String> {
    let mut i = 0;
    while let Some(arg) = args.get(i) {
        match arg.as_str() {
            "-jar" => return args.get(i + 1).and_then(|jar| stem(jar)),
            "-m" | "--module" => {
                let module = args.get(i + 1)?;
                return Some(module.split('/').next().unwrap_or(module).to_owned());
            }
            "-cp" | "-classpath" | "--class-path" | "-p" | "--module-path" | "--add-modules"
            | "--add-opens" | "--add-exports" | "--add-reads" => i += 2,
            a if a.starts_with('-') || a.starts_with('@') => i += 1,
            a if a.ends_with(".java") => return stem(a),
            a => return a.rsplit(['.', '$']).next().map(str::to_owned),
        }
    }
    None
}

/// File names that say nothing: the folder above says more.
const PLAIN: [&str; 8] = ["__main__", "index", "main", "app", "server", "start", "cli", "manage"];

/// A script's name without extension; that of its folder when the script has a name of no meaning and lies in one.
fn script_name(path: &str) -> Option<String> {
    let name = stem(path)?;
    if PLAIN.contains(&name.as_str()) {
        let above = Path::new(path).ancestors().skip(1).map(base).find(|n| {
            !matches!(
                *n,
                "" | "."
                    | ".."
                    | "src"
                    | "bin"
                    | "dist"
                    | "build"
                    | "lib"
                    | "app"
                    | "python"
                    | "node"
                    | "java"
                    | "ruby"
                    | "scripts"
            )
        });
        if let Some(above) = above {
            return Some(above.to_owned());
        }
    }
    Some(name)
}

fn stem(path: &str) -> Option<String> {
    let stem = Path::new(path).file_stem()?.to_str()?;
    (!stem.is_empty()).then(|| stem.to_owned())
}

/// Whether it is a worker that Python's `multiprocessing` started: its command line names the module that takes the
/// work over from the parent, and nothing of the program.
pub(crate) fn is_spawned_worker(exe: &Path, argv: &[String]) -> bool {
    let code = argv.iter().skip_while(|a| *a != "-c").nth(1);
    kind_of(base(exe)) == Kind::Python && code.is_some_and(|c| c.starts_with("from multiprocessing."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, expect: Option<&str>) {
        let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let package = |script: &str| script.starts_with("/srv/shop/").then(|| "shop-api".to_owned());
        assert_eq!(runtime_name(Path::new(&argv[0]), &argv, package).as_deref(), expect, "{command}");
    }

    #[test]
    fn workers_of_multiprocessing_are_told_by_their_code() {
        let worker = |argv: &[&str]| {
            let argv: Vec<String> = argv.iter().map(|a| (*a).to_owned()).collect();
            is_spawned_worker(Path::new(&argv[0]), &argv)
        };
        let code = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)";
        assert!(worker(&["/usr/bin/python3.11", "-B", "-c", code, "--multiprocessing-fork"]));
        assert!(worker(&[
            "/usr/bin/python3",
            "-c",
            "from multiprocessing.resource_tracker import main;main(4)"
        ]));
        assert!(!worker(&["/usr/bin/python3", "-c", "import multiprocessing"]));
        assert!(!worker(&["/usr/bin/python3", "app.py", code]));
        assert!(!worker(&["/usr/bin/perl", "-c", code]));
    }

    #[test]
    fn interpreters_are_named_by_what_they_run() {
        check("/usr/bin/python3.11 -u /opt/billing/worker.py --fast", Some("worker"));
        check("/usr/bin/python3 /opt/billing/app.py", Some("billing"));
        check("/usr/bin/python3 app.py", Some("app"));
        check("/usr/bin/python3 -m http.server 8000", Some("http.server"));
        check("/usr/bin/python3 /usr/bin/gunicorn -w 4 shop.wsgi:application", Some("shop.wsgi"));
        check("/usr/bin/python3 -m uvicorn --port 80 orders:app", Some("orders"));
        check("/usr/bin/python3 -c pass", None);
        check("/usr/bin/node --inspect /srv/shop/index.js", Some("shop-api"));
        check("/usr/bin/node -r ./hook.js /srv/cart/index.js", Some("cart"));
        check("/usr/bin/java -Xmx1g -cp a:b com.acme.Ledger x", Some("Ledger"));
        check("/usr/bin/java -jar /srv/pay-1.2.jar --port 1", Some("pay-1.2"));
        check("/usr/bin/java /tmp/Server.java", Some("Server"));
        check("/usr/bin/dotnet /app/Orders.dll", Some("Orders"));
        check("/usr/bin/ruby -I lib /srv/puma.rb", Some("puma"));
        check("/usr/sbin/nginx -g daemon", None);
    }

    #[test]
    fn names_are_bounded_and_free_of_control_characters() {
        assert_eq!(clean(" a\u{1b}[31mb\n"), "a[31mb");
        assert_eq!(clean(&"\u{e9}".repeat(100)).len(), 128);
    }

    #[test]
    fn the_version_is_read_off_the_interpreter() {
        let r = runtime_of(Path::new("/usr/bin/python3.11"));
        assert_eq!((r.name, r.version.as_str()), ("cpython", "3.11"));
        assert_eq!(runtime_of(Path::new("/usr/bin/nginx")), Runtime::default());
    }
}
