//! Which processes are selected: the rules of `agent.discovery`.

use crate::settings::{DiscoveryRule, DiscoverySettings};

/// A rule selects a process when every field that is set fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// A port, or a range of them, that the process listens on.
    pub ports: Option<(u16, u16)>,
    /// Glob over the executable's path (`*` any text, `?` any character).
    pub exe: Option<String>,
    /// Glob over the service's name.
    pub service: Option<String>,
    /// Glob over the container's id or name; `*` is any container, and none of the host's own processes.
    pub container: Option<String>,
    /// Glob over the service's namespace.
    pub namespace: Option<String>,
}

/// The rules together: nothing included means everything, and what is excluded stays out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Selects; empty selects everything.
    pub include: Vec<Rule>,
    /// Wins over `include`.
    pub exclude: Vec<Rule>,
}

impl From<&DiscoverySettings> for Discovery {
    fn from(s: &DiscoverySettings) -> Discovery {
        let rules = |list: &[DiscoveryRule]| list.iter().map(Rule::from).collect();
        Discovery { include: rules(&s.include), exclude: rules(&s.exclude) }
    }
}

impl From<&DiscoveryRule> for Rule {
    fn from(r: &DiscoveryRule) -> Rule {
        Rule {
            ports: r.port.map(|p| (p.first, p.last)),
            exe: r.exe.clone(),
            service: r.service.clone(),
            container: r.container.clone(),
            namespace: r.namespace.clone(),
        }
    }
}

/// What rules look at.
pub(crate) struct Subject<'a> {
    pub(crate) ports: &'a [u16],
    pub(crate) exe: &'a str,
    pub(crate) service: &'a str,
    pub(crate) container: Option<&'a str>,
    pub(crate) namespace: &'a str,
}

impl Rule {
    fn fits(&self, s: &Subject<'_>) -> bool {
        let text = |pattern: &Option<String>, value: &str| pattern.as_ref().is_none_or(|p| glob(p, value));
        self.ports.is_none_or(|(from, to)| s.ports.iter().any(|p| (from..=to).contains(p)))
            && text(&self.exe, s.exe)
            && text(&self.service, s.service)
            && self.container.as_ref().is_none_or(|p| s.container.is_some_and(|c| glob(p, c)))
            && text(&self.namespace, s.namespace)
    }
}

impl Discovery {
    /// Whether the process is selected, and the rule that decided: `include[N]` or `exclude[N]`.
    pub(crate) fn decide(&self, s: &Subject<'_>) -> (bool, Option<String>) {
        if let Some(i) = self.exclude.iter().position(|r| r.fits(s)) {
            return (false, Some(format!("exclude[{i}]")));
        }
        if self.include.is_empty() {
            return (true, None);
        }
        match self.include.iter().position(|r| r.fits(s)) {
            Some(i) => (true, Some(format!("include[{i}]"))),
            None => (false, None),
        }
    }
}

/// Matches a whole text; linear in pattern times text, no recursion.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < t.len() {
        if i < p.len() && p[i] == '*' {
            star = Some((i, j));
            i += 1;
        } else if i < p.len() && (p[i] == '?' || p[i] == t[j]) {
            i += 1;
            j += 1;
        } else if let Some((si, sj)) = star {
            i = si + 1;
            j = sj + 1;
            star = Some((si, sj + 1));
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_the_whole_text() {
        for (pattern, text, fits) in [
            ("/usr/*", "/usr/sbin/nginx", true),
            ("*", "", true),
            ("", "a", false),
            ("a*c?e", "abbbcde", true),
            ("a*c?e", "abbbcdef", false),
            ("shop-*", "shop", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn all_fields_of_a_rule_must_fit_and_exclude_wins() {
        let subject = |ports: &'static [u16], container: Option<&'static str>| Subject {
            ports,
            exe: "/usr/bin/wrk",
            service: "wrk",
            container,
            namespace: "",
        };
        let rule = Rule { ports: Some((8000, 8999)), exe: Some("/usr/*".into()), ..Rule::default() };
        let d = Discovery { include: vec![rule], exclude: vec![] };
        assert_eq!(d.decide(&subject(&[8080], None)), (true, Some("include[0]".into())));
        assert_eq!(d.decide(&subject(&[80], None)), (false, None));
        let all = Rule { container: Some("*".into()), ..Rule::default() };
        let d = Discovery { include: vec![], exclude: vec![all] };
        assert_eq!(d.decide(&subject(&[], Some("web"))), (false, Some("exclude[0]".into())));
        assert_eq!(d.decide(&subject(&[], None)), (true, None));
    }
}
