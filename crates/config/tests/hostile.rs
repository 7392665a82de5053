//! Whatever stands in a file, reading it ends with settings or with problems that name a place.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{ByteSize, Check, Duration, Layers, Lookup, OneOrMany, Report};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Root {
    name: String,
    number: u16,
    share: f64,
    on: bool,
    wait: Option<Duration>,
    size: Option<ByteSize>,
    labels: BTreeMap<String, String>,
    many: Option<OneOrMany<Item>>,
    list: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Item {
    must: String,
    #[serde(default)]
    depth: Option<Box<u8>>,
}

impl Check for Root {
    fn check(&self, report: &mut Report) {
        if self.name == "wrong" {
            report.wrong("name", "is wrong");
        }
    }
}

struct Nothing;
impl Lookup for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn file(&self, _: &str) -> Result<String, String> {
        Err("there are no files".to_owned())
    }
}

fn load(text: &str) -> Result<Root, Vec<String>> {
    let loaded = Layers::new().text("f", text, &Nothing).load::<Root>(&Nothing);
    loaded.map(|l| l.settings).map_err(|e| e.problems().iter().map(ToString::to_string).collect())
}

/// YAML-like text: the words and signs that matter, in any order.
fn yaml() -> impl Strategy<Value = String> {
    let words = [
        "name",
        "number",
        "share",
        "on",
        "wait",
        "size",
        "labels",
        "many",
        "list",
        "must",
        "depth",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "|",
        ">",
        "&a",
        "*a",
        "!x",
        "#",
        "%",
        "---",
        "${X}",
        "${file:y}",
        "$${",
        "1",
        "-1",
        "1.5",
        "10s",
        "64MiB",
        "true",
        "~",
        "null",
        "\t",
        "\u{0}",
        "\u{feff}",
        "\u{202e}",
        "wrong",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_text_ends_in_settings_or_in_problems_with_places(text in yaml()) {
        if let Err(problems) = load(&text) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.starts_with("f:"), "{problem}");
                prop_assert!(!problem.chars().any(char::is_control), "{problem:?}");
            }
        }
    }

    #[test]
    fn settings_that_are_shown_read_back(name in "[^\\p{C}$]{0,20}", number: u16, key in "[a-z.]{1,8}", value in "[^\\p{C}$]{0,12}") {
        let root = Root { name, number, labels: [(key, value)].into(), ..Root::default() };
        prop_assume!(root.name != "wrong" && !root.name.contains("://") && !root.labels.values().any(|v| v.contains("://")));
        let json = serde_json::to_string(&root).unwrap();
        let loaded = Layers::new().text("f", &json, &Nothing).load::<Root>(&Nothing).unwrap();
        prop_assert_eq!(load(&loaded.show()), Ok(root));
    }
}

#[test]
fn a_missing_key_is_not_reported_when_its_value_was() {
    assert_eq!(load("many: { must: [] }").unwrap_err(), ["f:1:15 many.must: expected a text, found a list"]);
    assert_eq!(load("many: { depth: 1 }").unwrap_err(), ["f:1:7 many.must: must be given"]);
}

#[test]
fn items_of_lists_are_numbered_as_written_also_after_a_wrong_one() {
    let found = load("list: [ { must: a, depth: 300 }, { must: b }, { must: c, depth: x } ]").unwrap_err();
    assert_eq!(
        found,
        [
            "f:1:27 list.0.depth: \"300\": expected a whole number from 0 to 255",
            "f:1:65 list.2.depth: \"x\": expected a whole number",
        ]
    );
}

#[test]
fn quoted_words_are_no_numbers_and_yaml_1_1_truths_are_none() {
    assert_eq!(load("number: \"12\"").unwrap_err(), ["f:1:9 number: \"12\": expected a whole number"]);
    assert_eq!(load("on: yes").unwrap_err(), ["f:1:5 on: \"yes\": expected true or false"]);
    assert_eq!(load("name: 007").unwrap().name, "007");
    assert_eq!(load("share: .inf").unwrap_err(), ["f:1:8 share: \".inf\": expected a number"]);
}

#[test]
fn a_check_is_not_made_of_a_section_that_was_not_understood() {
    assert_eq!(load("name: wrong").unwrap_err(), ["f:1:7 name: \"wrong\": is wrong"]);
}
