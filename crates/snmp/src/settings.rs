//! Settings of `collector.snmp`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telegen_config::{Duration, DurationOrZero, SecretText};
use telegen_model::Secret;

/// Network devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SnmpSettings {
    /// Time between two polls of a device.
    pub interval: Duration,
    /// How to log in, by name.
    #[schemars(example = Credential::examples())]
    pub credentials: BTreeMap<String, Credential>,
    /// Devices.
    pub targets: Vec<Target>,
    /// Files with lists of devices, read again when they change.
    #[schemars(example = ["/etc/telegen/targets/*.yaml"])]
    pub target_files: Vec<String>,
    /// Networks to search for devices.
    pub scan: Vec<Scan>,
    /// Which part of the devices this process polls. Not set: all, or as the StatefulSet says that it runs in.
    pub shard: Option<Shard>,
    /// Most packets a second.
    pub budget: Budget,
    /// Most times a minute that another credential of a device is tried.
    pub credential_tries: NonZeroU32,
    /// Folders with device profiles, besides those that are built in.
    #[schemars(example = ["/etc/telegen/profiles"])]
    pub profiles: Vec<String>,
    /// How metrics are named: by OpenTelemetry's conventions, or after the MIB's objects.
    pub names: Names,
    /// Traps and informs. Off until set.
    pub traps: Option<Traps>,
}

impl Default for SnmpSettings {
    fn default() -> SnmpSettings {
        SnmpSettings {
            interval: Duration::secs(60),
            credentials: BTreeMap::new(),
            targets: Vec::new(),
            target_files: Vec::new(),
            scan: Vec::new(),
            shard: None,
            budget: Budget::default(),
            credential_tries: NonZeroU32::MIN.saturating_add(9),
            profiles: Vec::new(),
            names: Names::default(),
            traps: None,
        }
    }
}

/// Most packets a second to devices. Not set: as many as four questions at a time to each device make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// To one device.
    #[schemars(example = 100)]
    pub per_device: Option<NonZeroU32>,
    /// To all devices of one site together.
    #[schemars(example = 1000)]
    pub per_site: Option<NonZeroU32>,
    /// The label that names a device's site.
    pub site: String,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { per_device: None, per_site: None, site: "site".to_owned() }
    }
}

/// How metrics of devices are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// OpenTelemetry's conventions.
    #[default]
    Otel,
    /// `snmp_<object>`.
    Mib,
}

/// How to log in at a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// 1, 2c or 3.
    pub version: Version,
    /// Community, for versions 1 and 2c; never printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SecretText>")]
    pub community: Option<Secret>,
    /// User, for version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Proof of who asks, for version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Encryption, for version 3; needs `auth`.
    #[serde(default, rename = "priv", skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Priv>,
    /// Context name, for version 3.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
}

impl Credential {
    fn examples() -> serde_json::Value {
        serde_json::json!({
            "public": { "version": "2c", "community": "public" },
            "ops": {
                "version": "3", "user": "ops",
                "auth": { "protocol": "sha256", "password": "${file:/etc/telegen/snmp-auth}" },
                "priv": { "protocol": "aes128", "password": "${file:/etc/telegen/snmp-priv}" },
            },
        })
    }
}

/// A version of SNMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("enum" = [1, "1", "2c", 3, "3"]))]
pub enum Version {
    /// SNMPv1
    #[serde(rename = "1")]
    V1,
    /// SNMPv2c
    #[serde(rename = "2c")]
    V2c,
    /// SNMPv3
    #[serde(rename = "3")]
    V3,
}

/// Proof of who asks (RFC 3414, RFC 7860).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Hash: md5, sha1, sha224, sha256, sha384 or sha512; net-snmp's spellings are understood too.
    pub protocol: AuthProtocol,
    /// Password, at least 8 characters; never printed.
    #[schemars(with = "SecretText")]
    pub password: Secret,
}

/// Encryption (RFC 3414, RFC 3826).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Priv {
    /// Cipher: des, aes128, aes192, aes256, aes192c or aes256c, where `c` means that the key is extended as Reeder's draft
    /// says; net-snmp's spellings are understood too.
    pub protocol: PrivProtocol,
    /// Password, at least 8 characters; never printed.
    #[schemars(with = "SecretText")]
    pub password: Secret,
}

/// A hash of SNMPv3. net-snmp's spellings are understood too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum AuthProtocol {
    /// HMAC-MD5-96
    Md5,
    /// HMAC-SHA-96
    Sha1,
    /// HMAC-128-SHA-224
    Sha224,
    /// HMAC-192-SHA-256
    Sha256,
    /// HMAC-256-SHA-384
    Sha384,
    /// HMAC-384-SHA-512
    Sha512,
}

impl TryFrom<String> for AuthProtocol {
    type Error = &'static str;

    fn try_from(word: String) -> Result<AuthProtocol, &'static str> {
        match folded(&word).as_str() {
            "md5" => Ok(AuthProtocol::Md5),
            "sha" | "sha1" => Ok(AuthProtocol::Sha1),
            "sha224" => Ok(AuthProtocol::Sha224),
            "sha256" => Ok(AuthProtocol::Sha256),
            "sha384" => Ok(AuthProtocol::Sha384),
            "sha512" => Ok(AuthProtocol::Sha512),
            _ => Err("expected one of md5, sha1, sha224, sha256, sha384, sha512"),
        }
    }
}

/// A cipher of SNMPv3. net-snmp's spellings are understood too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum PrivProtocol {
    /// CBC-DES
    Des,
    /// CFB128-AES-128
    Aes128,
    /// CFB128-AES-192, Blumenthal's key
    Aes192,
    /// CFB128-AES-256, Blumenthal's key
    Aes256,
    /// CFB128-AES-192, Reeder's key
    Aes192c,
    /// CFB128-AES-256, Reeder's key
    Aes256c,
}

impl TryFrom<String> for PrivProtocol {
    type Error = &'static str;

    fn try_from(word: String) -> Result<PrivProtocol, &'static str> {
        match folded(&word).as_str() {
            "des" => Ok(PrivProtocol::Des),
            "aes" | "aes128" => Ok(PrivProtocol::Aes128),
            "aes192" => Ok(PrivProtocol::Aes192),
            "aes256" => Ok(PrivProtocol::Aes256),
            "aes192c" => Ok(PrivProtocol::Aes192c),
            "aes256c" => Ok(PrivProtocol::Aes256c),
            _ => Err("expected one of des, aes128, aes192, aes256, aes192c, aes256c"),
        }
    }
}

/// Lower case, without `-`: `SHA-256` is `sha256`.
fn folded(word: &str) -> String {
    word.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect()
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `HOST:PORT`, or a host alone for port 161; `tcp:` before it polls over TCP.
    #[schemars(example = &"127.0.0.1:1161")]
    pub address: String,
    /// Name in telemetry. Not set: the address.
    #[serde(default)]
    #[schemars(example = &"core-1")]
    pub name: Option<String>,
    /// Names of credentials, tried in this order.
    #[serde(default)]
    #[schemars(example = ["ops", "public"])]
    pub credentials: Vec<String>,
    /// Time between two polls. Not set: as for all devices.
    #[serde(default)]
    #[schemars(example = &"30s")]
    pub interval: Option<Duration>,
    /// Profile by name, or `auto`.
    #[serde(default = "auto")]
    pub profile: String,
    /// Attributes of the device's resource.
    #[serde(default)]
    #[schemars(example = [("site", "lab")].into_iter().collect::<BTreeMap<_, _>>())]
    pub labels: BTreeMap<String, String>,
}

fn auto() -> String {
    "auto".to_owned()
}

/// A network to search for devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// The network, `ADDRESS/BITS`.
    #[schemars(example = &"127.1.0.0/24")]
    pub subnet: String,
    /// Names of credentials, tried in this order.
    #[serde(default)]
    #[schemars(example = ["public"])]
    pub credentials: Vec<String>,
    /// Most packets sent in a second.
    #[serde(default = "two_hundred")]
    pub packets_per_second: NonZeroU32,
}

fn two_hundred() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(199)
}

/// Which part of the devices a process polls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// This process, from 0.
    #[serde(default)]
    pub index: u32,
    /// Number of processes.
    #[serde(default = "one")]
    pub of: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// Traps and informs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traps {
    /// Where to listen, `udp://HOST:PORT` or `tcp://HOST:PORT`.
    #[schemars(example = ["udp://127.0.0.1:10162", "tcp://127.0.0.1:10162"])]
    pub listen: Vec<String>,
    /// Communities that are taken; never printed.
    #[schemars(with = "Vec<SecretText>", example = ["public"])]
    pub communities: Vec<Secret>,
    /// Names under `credentials` whose users are taken.
    #[schemars(example = ["ops"])]
    pub users: Vec<String>,
    /// Networks that traps are taken from; empty is everywhere.
    #[schemars(example = ["10.0.0.0/8"])]
    pub sources: Vec<String>,
    /// What is too much.
    pub limits: TrapLimits,
    /// Where every trap is sent on to, as it came.
    #[schemars(example = ["udp://127.0.0.1:11162"])]
    pub forward: Vec<String>,
}

/// What is too much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrapLimits {
    /// Most traps a second from one device; 0 is no limit.
    pub per_device: u32,
    /// Equal traps within this time are one; 0s keeps them all.
    pub dedup: DurationOrZero,
}

impl Default for TrapLimits {
    fn default() -> TrapLimits {
        TrapLimits { per_device: 0, dedup: DurationOrZero::ZERO }
    }
}
