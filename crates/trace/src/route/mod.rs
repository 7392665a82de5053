//! `http.route` for servers that do not say it: a path's segments, with values replaced by placeholders.
//!
//! What is a value is told by its look first; where too many words stand in one place, further ones are `{name}`. A
//! path's route never changes, except that a path first seen when the service has all its routes is `/*` until it may have more.

mod segment;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use segment::{Kind, Segment, classify};

/// The route of all paths beyond the most that a service may have.
pub(crate) const OVERFLOW: &str = "/*";
/// Services at most.
const SERVICES_MAX: usize = 2000;
/// Words at most in one place of a service's paths; files are not among them.
const WORDS_MAX: usize = 100;
/// Segments that are looked at; what is behind is one `*`.
const DEPTH_MAX: usize = 16;
/// Paths at most whose route is remembered, a service.
const REMEMBERED_MAX: usize = 512;
/// Longest path that is remembered.
const REMEMBERED_LEN: usize = 128;

/// A place in the paths of a service.
#[derive(Default)]
struct Place {
    words: HashMap<Box<str>, u32, RandomState>,
    values: Vec<(Kind, Box<str>, u32)>,
    plain: usize,
    route: Option<Arc<str>>,
}

struct Service {
    places: Vec<Place>,
    routes: usize,
    remembered: HashMap<Box<str>, Arc<str>, RandomState>,
}

/// What did not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overflows {
    /// Requests whose route is the overflow.
    pub(crate) routes: u64,
    /// Requests of services beyond the most that are known.
    pub(crate) services: u64,
}

/// The routes of all services.
pub(crate) struct Routes {
    max: usize,
    services: HashMap<usize, Service, RandomState>,
    overflow: Arc<str>,
    pub(crate) overflows: Overflows,
}

impl Routes {
    /// With `max` routes a service.
    pub(crate) fn new(max: usize) -> Routes {
        Routes {
            max,
            services: HashMap::default(),
            overflow: OVERFLOW.into(),
            overflows: Overflows::default(),
        }
    }

    /// From now on a service has this many routes at most. What it has beyond stays; paths that found no room are asked
    /// for anew.
    pub(crate) fn set_max(&mut self, max: usize) {
        if max > self.max {
            for service in self.services.values_mut() {
                service.remembered.retain(|_, route| !Arc::ptr_eq(route, &self.overflow));
            }
        }
        self.max = max;
    }

    /// Whether a route stands for all that found no room.
    pub(crate) fn is_overflow(&self, route: &Arc<str>) -> bool {
        Arc::ptr_eq(route, &self.overflow)
    }

    /// The route of a path of a service. A path that the service does not know (`found` is false) makes no route: who
    /// asks for a thousand of them would use up the service's own.
    pub(crate) fn of(&mut self, service: usize, path: &str, found: bool) -> Option<Arc<str>> {
        if !path.starts_with('/') {
            return None;
        }
        if !self.services.contains_key(&service) {
            if self.services.len() >= SERVICES_MAX {
                self.overflows.services += 1;
                return None;
            }
            if !found {
                return None;
            }
        }
        let s = self.services.entry(service).or_insert_with(Service::new);
        if let Some(route) = s.remembered.get(path) {
            if Arc::ptr_eq(route, &self.overflow) {
                self.overflows.routes += 1;
            }
            return Some(route.clone());
        }
        let route = match s.route(path, found, self.max)? {
            Some(route) => route,
            None => {
                self.overflows.routes += 1;
                self.overflow.clone()
            }
        };
        if path.len() <= REMEMBERED_LEN {
            if s.remembered.len() >= REMEMBERED_MAX {
                s.remembered.clear();
            }
            s.remembered.insert(path.into(), route.clone());
        }
        Some(route)
    }
}

impl Service {
    fn new() -> Service {
        Service { places: vec![Place::default()], routes: 0, remembered: HashMap::default() }
    }

    /// `None` when the path is not known and must not be; `Some(None)` for the overflow.
    fn route(&mut self, path: &str, found: bool, max: usize) -> Option<Option<Arc<str>>> {
        let places_max = max * 8 + 256;
        let mut at = 0;
        for (i, text) in path[1..].split('/').enumerate() {
            let segment = if i < DEPTH_MAX { classify(text) } else { Segment::Word("*") };
            match self.step(at, segment) {
                Some(next) => at = next,
                None if !found => return None,
                None if self.routes >= max || self.places.len() >= places_max => return Some(None),
                None => at = self.grow(at, segment),
            }
            if i == DEPTH_MAX {
                break;
            }
        }
        if self.places[at].route.is_none() {
            if !found {
                return None;
            }
            if self.routes >= max {
                return Some(None);
            }
            self.routes += 1;
            self.places[at].route = Some(template(path, |place, text| self.shown(place, text)).into());
        }
        Some(self.places[at].route.clone())
    }

    /// The place behind a segment, if it is known.
    fn step(&self, at: usize, segment: Segment<'_>) -> Option<usize> {
        let place = &self.places[at];
        let value = |kind: Kind, rest: &str| {
            place
                .values
                .iter()
                .find(|(k, r, _)| *k == kind && **r == *rest)
                .map(|(_, _, next)| *next as usize)
        };
        match segment {
            Segment::Value(kind, rest) => value(kind, rest),
            Segment::File(word) => place.words.get(word).map(|n| *n as usize),
            Segment::Word(word) => place
                .words
                .get(word)
                .map(|n| *n as usize)
                .or_else(|| (place.plain >= WORDS_MAX).then(|| value(Kind::Name, "")).flatten()),
        }
    }

    fn grow(&mut self, at: usize, segment: Segment<'_>) -> usize {
        let next = self.places.len();
        let number = u32::try_from(next).unwrap_or(u32::MAX);
        self.places.push(Place::default());
        let place = &mut self.places[at];
        match segment {
            Segment::Value(kind, rest) => place.values.push((kind, rest.into(), number)),
            Segment::Word(_) if place.plain >= WORDS_MAX => {
                place.values.push((Kind::Name, "".into(), number))
            }
            Segment::Word(word) => {
                place.plain += 1;
                place.words.insert(word.into(), number);
            }
            Segment::File(word) => {
                place.words.insert(word.into(), number);
            }
        }
        next
    }

    /// A segment as it stands in the route, and the place behind it.
    fn shown(&self, at: usize, segment: Segment<'_>) -> (String, usize) {
        let next = self.step(at, segment).unwrap_or(0);
        let text = match segment {
            Segment::Value(kind, rest) => format!("{}{rest}", kind.text()),
            Segment::Word(word) if !self.places[at].words.contains_key(word) => Kind::Name.text().to_owned(),
            Segment::Word(word) | Segment::File(word) => word.to_owned(),
        };
        (text, next)
    }
}

fn template<'a>(path: &'a str, shown: impl Fn(usize, Segment<'a>) -> (String, usize)) -> String {
    let (mut out, mut at) = (String::with_capacity(path.len()), 0);
    for (i, text) in path[1..].split('/').enumerate() {
        let segment = if i < DEPTH_MAX { classify(text) } else { Segment::Word("*") };
        let (text, next) = shown(at, segment);
        out.push('/');
        out.push_str(&text);
        at = next;
        if i == DEPTH_MAX {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn route(r: &mut Routes, path: &str) -> String {
        r.of(1, path, true).map_or("-".into(), |r| r.to_string())
    }

    #[test]
    fn segments_are_replaced_one_by_one() {
        let mut r = Routes::new(200);
        for (path, expect) in [
            ("/", "/"),
            ("/users/42", "/users/{id}"),
            ("/users/42/orders/9f86d081884c7d65", "/users/{id}/orders/{hex}"),
            ("/users/", "/users/"),
            ("/a//b", "/a//b"),
            ("/x.json/42.json", "/x.json/{id}.json"),
            ("*", "-"),
        ] {
            assert_eq!(route(&mut r, path), expect, "{path}");
        }
    }

    #[test]
    fn a_hundred_thousand_paths_of_twenty_templates_are_twenty_routes() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut seen: [BTreeSet<String>; 20] = Default::default();
        let mut r = Routes::new(200);
        let mut first = HashMap::new();
        for _ in 0..100_000 {
            let which = rng.usize(0..20);
            let mut hex = |n: usize| {
                (0..n).map(|_| char::from(b"0123456789abcdef"[rng.usize(0..16)])).collect::<String>()
            };
            let uuid = format!("{}-{}-{}-{}-{}", hex(8), hex(4), hex(4), hex(4), hex(12));
            let sha = format!("0a{}", hex(38));
            let n = rng.u32(..);
            let day = format!("2026-{:02}-{:02}", rng.u8(1..13), rng.u8(1..29));
            let base62: String = format!("k3{}9Z", (0..18).map(|_| rng.alphanumeric()).collect::<String>());
            let path = match which % 5 {
                0 => format!("/t{which}x/{n}"),
                1 => format!("/t{which}x/{uuid}/items"),
                2 => format!("/t{which}x/{sha}/raw/{n}"),
                3 => format!("/t{which}x/{day}/user{n}@example.org"),
                _ => format!("/t{which}x/{base62}"),
            };
            let route = route(&mut r, &path);
            assert_eq!(*first.entry(path.clone()).or_insert_with(|| route.clone()), route, "{path}");
            seen[which].insert(route);
        }
        assert!(seen.iter().all(|routes| routes.len() == 1), "{seen:#?}");
        assert_eq!(seen.iter().flatten().collect::<BTreeSet<_>>().len(), 20);
    }

    #[test]
    fn files_stay_themselves_up_to_the_limit_and_then_are_one() {
        let mut r = Routes::new(1000);
        let routes: BTreeSet<String> =
            (0..1500).map(|i| route(&mut r, &format!("/static/f-{i:05}.css"))).collect();
        assert_eq!(routes.len(), 1001);
        assert!(routes.contains(OVERFLOW));
        assert_eq!(r.overflows.routes, 500);
        // In any order, whatever was told first stands.
        assert_eq!(route(&mut r, "/static/f-00000.css"), "/static/f-00000.css");
        assert_eq!(route(&mut r, "/static/f-01400.css"), OVERFLOW);
    }

    #[test]
    fn a_service_that_may_have_more_routes_gives_paths_that_found_no_room_their_own() {
        let mut r = Routes::new(1);
        assert_eq!(["/a", "/b"].map(|path| route(&mut r, path)), ["/a", OVERFLOW]);
        r.set_max(2);
        assert_eq!(["/b", "/c"].map(|path| route(&mut r, path)), ["/b", OVERFLOW]);
        // With less it keeps what it has.
        r.set_max(1);
        assert_eq!(["/a", "/b", "/d"].map(|path| route(&mut r, path)), ["/a", "/b", OVERFLOW]);
    }

    #[test]
    fn too_many_words_in_one_place_are_learned_to_be_values() {
        let mut r = Routes::new(200);
        let name = |i: usize| format!("/people/{}", ["ann", "bob", "cleo", "dan"][i % 4].repeat(i / 4 + 1));
        let routes: Vec<String> = (0..40).map(|i| route(&mut r, &name(i))).collect();
        assert_eq!(routes.iter().collect::<BTreeSet<_>>().len(), 40);
        for i in 0..WORDS_MAX {
            route(&mut r, &format!("/people/w{}", "o".repeat(i % 60) + &"a".repeat(i / 60)));
        }
        assert_eq!(route(&mut r, "/people/zoe"), "/people/{name}");
        assert_eq!(route(&mut r, "/people/zoe/posts"), "/people/{name}/posts");
        assert_eq!(route(&mut r, &name(7)), routes[7]);
    }

    #[test]
    fn what_is_not_found_makes_no_route_and_uses_one_that_is_there() {
        let mut r = Routes::new(200);
        for i in 0..1000 {
            assert_eq!(r.of(1, &format!("/wp-{}/x", "a".repeat(i % 50)), false), None);
        }
        route(&mut r, "/users/1");
        assert_eq!(r.of(1, "/users/2", false).as_deref(), Some("/users/{id}"));
        assert_eq!(r.of(1, "/users/2/x", false), None);
    }
}
