//! One request, from its head to its answer.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use telegen_model::{Records, ResourceGroup, Scope, Signal, Str};
use telegen_otlp::{RawGroup, json, raw_groups, raw_memory};
use telegen_pipeline::{Ack, AckLevel, Acked, Input, Pace, Refused, Reservation};
use telegen_selfmon::SelfMon;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::answer::{Frames, Speech, Verdict, answer};
use crate::body::{self, Bad, Packing};
use crate::budget::{Budget, Share};
use crate::doubles::{Doubles, Seen};
use crate::senders::{Sender, Senders, resolved};
use telegen_server::Token;

/// When a refused sender is to come again.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest time for a body to arrive.
const BODY: Duration = Duration::from_secs(30);
/// Longest wait for an acknowledgement.
const ACKNOWLEDGED: Duration = Duration::from_secs(60);
/// Source of these items in the ledger.
const SOURCE: &str = "otlp";

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) input: Input,
    pub(crate) mon: SelfMon,
    pub(crate) level: AckLevel,
    pub(crate) token: Option<Token>,
    pub(crate) rate: Option<NonZeroU64>,
    pub(crate) pace: Pace,
    pub(crate) budget: Arc<Budget>,
    pub(crate) doubles: Doubles,
    pub(crate) senders: Arc<dyn Senders>,
    /// Places for those that look for a sender.
    pub(crate) finders: Arc<Semaphore>,
}

/// What a head says.
struct Head {
    signal: Signal,
    speech: Speech,
    packing: Packing,
}

impl Shared {
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
        sender: Option<Arc<Sender>>,
    ) -> Response<Frames> {
        let (head, body) = request.into_parts();
        let kind = text(&head.headers, "content-type").split(';').next().unwrap_or_default().trim();
        let speech = match kind {
            k if k == "application/grpc" || k.starts_with("application/grpc+") => Speech::Grpc,
            "application/json" => Speech::Json,
            _ => Speech::Protobuf,
        };
        let verdict = match self.head(&head.method, head.uri.path(), &head.headers, (kind, speech)) {
            Ok(parsed) => {
                let id = text(&head.headers, "telegen-batch-id");
                let id = (!id.is_empty()).then_some(id);
                match self.take(parsed, id, body, sender).await {
                    Ok(()) => Verdict::Taken,
                    Err(verdict) => verdict,
                }
            }
            Err(verdict) => verdict,
        };
        self.mon
            .counter(
                "telegen.receive.requests",
                "{request}",
                "Requests that others sent, by what became of them.",
                &[("protocol", "otlp"), ("outcome", verdict.word())],
            )
            .inc();
        answer(speech, &verdict)
    }

    fn head(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        as_said: (&str, Speech),
    ) -> Result<Head, Verdict> {
        let (kind, speech) = as_said;
        let unknown = || Verdict::Unknown(format!("no service at {}", path.get(..200).unwrap_or(path)));
        let signal = match (speech, path) {
            (Speech::Grpc, path) => grpc_signal(path).ok_or_else(unknown)?,
            (_, "/v1/traces") => Signal::Traces,
            (_, "/v1/metrics") => Signal::Metrics,
            (_, "/v1/logs") => Signal::Logs,
            (_, "/v1development/profiles") => Signal::Profiles,
            _ => return Err(unknown()),
        };
        if method != Method::POST {
            return Err(Verdict::NotPost);
        }
        if self.token.as_ref().is_some_and(|token| !token.admits(headers)) {
            return Err(Verdict::Unauthorized);
        }
        if !matches!(speech, Speech::Grpc | Speech::Json) && kind != "application/x-protobuf" {
            return Err(Verdict::Unsupported(
                "expected application/x-protobuf or application/json".to_owned(),
            ));
        }
        let encoding = if speech == Speech::Grpc { "grpc-encoding" } else { "content-encoding" };
        let packing = Packing::named(text(headers, encoding).trim())
            .ok_or_else(|| Verdict::Unsupported(format!("{encoding}: gzip, zstd or identity")))?;
        Ok(Head { signal, speech, packing })
    }

    /// Reads, checks and hands on a request; comes back when it is as safe as the settings ask for.
    async fn take(
        &self,
        head: Head,
        id: Option<&str>,
        body: Incoming,
        sender: Option<Arc<Sender>>,
    ) -> Result<(), Verdict> {
        let mut share = self.budget.share();
        let read =
            tokio::time::timeout(BODY, body::read(body, head.speech == Speech::Grpc, &mut share)).await;
        let packed = read.map_err(|_| Verdict::Bad("the body did not arrive in time".to_owned()))??;
        let (packed, packing) = match head.speech {
            Speech::Grpc => grpc_message(packed, head.packing)?,
            _ => (packed, head.packing),
        };
        let (plain, mut share) = body::unpacked(packed, packing, share).await?;
        let plain = match head.speech {
            Speech::Json => {
                json::to_protobuf(head.signal, &plain).map_err(|e| Verdict::Bad(e.to_string()))?
            }
            _ => plain,
        };
        let seen = self.doubles.begin(head.signal, id);
        let taking = match seen {
            Seen::Taken => return Ok(()),
            Seen::Busy => return Err(later("the same batch is just being taken in")),
            Seen::New(taking) => taking,
        };
        let held = raw_memory(head.signal, &plain).map_err(|e| Verdict::Bad(e.to_string()))?;
        if !share.grow(held) {
            return Err(match self.budget.ever(plain.len().saturating_add(held)) {
                true => later("too many bytes are on their way"),
                false => Verdict::TooLarge("message too large: its resources stand for too much".to_owned()),
            });
        }
        let groups = raw_groups(head.signal, &plain).map_err(|e| Verdict::Bad(e.to_string()))?;
        self.push(head.signal, groups, plain.len(), (share, sender)).await?;
        taking.taken();
        Ok(())
    }

    async fn push(
        &self,
        signal: Signal,
        groups: Vec<RawGroup>,
        bytes: usize,
        (share, sender): (Share, Option<Arc<Sender>>),
    ) -> Result<(), Verdict> {
        if groups.is_empty() {
            return Ok(());
        }
        // What is cut into batches becomes a little longer.
        let cut = if bytes > 1 << 20 { bytes / 16 } else { 0 };
        let reservation =
            self.input.admit(signal, bytes + cut + 1024 * groups.len()).map_err(|refused| match refused {
                Refused::Full(_) | Refused::Ended => later(&refused.to_string()),
                Refused::TooLarge(_) => Verdict::TooLarge(format!("message too large: {refused}")),
            })?;
        if let Some(rate) = self.rate {
            let items = groups.iter().map(|g| g.records.items as u64).sum();
            self.pace.admit(rate, items, Instant::now()).map_err(|wait| Verdict::Later {
                after: wait.max(AGAIN),
                why: format!("more than receive.otlp.rate: {rate} a second"),
            })?;
        }
        if let Some(sender) = &sender {
            self.senders.sent(sender.pid, signal);
        }
        let last = groups.len() - 1;
        let (mut room, mut waiting) = (Some((reservation, share)), Vec::new());
        for (n, group) in groups.into_iter().enumerate() {
            let items = group.records.items as u64;
            let group = self.resolve(group, sender.as_deref());
            self.mon.ledger.produced(signal, SOURCE, items);
            let (tell, told) = oneshot::channel();
            let ack = (self.level > AckLevel::Memory).then(|| {
                waiting.push(told);
                Ack::new(self.level, move |acked| _ = tell.send(acked))
            });
            // The room is that of the whole request: it is let go when its last part is in the queues.
            match room.take_if(|_| n == last) {
                Some((reservation, share)) => self.push_last(group, reservation, share, ack),
                None => match ack {
                    Some(ack) => self.input.push_acked(group, ack),
                    None => self.input.push(group),
                },
            }
        }
        for told in waiting {
            match tokio::time::timeout(ACKNOWLEDGED, told).await {
                Ok(Ok(Acked::Reached(_))) => {}
                Ok(_) => return Err(later("it could not be kept safe")),
                Err(_) => return Err(later("it is not safe yet")),
            }
        }
        Ok(())
    }

    fn push_last(&self, group: ResourceGroup, reservation: Reservation, share: Share, ack: Option<Ack>) {
        // The bytes of the request stay counted until they are a batch in the queues.
        let queued = Ack::new(AckLevel::Memory, move |_| drop(share));
        self.input.push_reserved(group, reservation, Ack::join(ack.into_iter().chain([queued])));
    }

    fn resolve(&self, group: RawGroup, sender: Option<&Sender>) -> ResourceGroup {
        let RawGroup { mut resource, records } = group;
        if let Some(sender) = sender {
            let (better, overruled) = resolved(&resource, sender, records.signal);
            resource = better;
            if overruled > 0 {
                self.mon
                    .counter(
                        "telegen.receive.attributes_overruled",
                        "{attribute}",
                        "Attributes of senders about host, container and pod that the kernel knows better.",
                        &[("protocol", "otlp")],
                    )
                    .add(overruled);
            }
        }
        let scope = Scope { name: Str::const_new(""), version: Str::const_new("") };
        ResourceGroup { resource: Arc::new(resource), scope, records: Records::Raw(records) }
    }
}

impl From<Bad> for Verdict {
    fn from(bad: Bad) -> Verdict {
        match bad {
            Bad::TooLarge => Verdict::TooLarge(format!("message too large: more than {} bytes", body::MAX)),
            Bad::Busy => later("too many bytes are on their way"),
            Bad::Broken(why) => Verdict::Bad(why),
        }
    }
}

fn later(why: &str) -> Verdict {
    Verdict::Later { after: AGAIN, why: why.to_owned() }
}

fn grpc_signal(path: &str) -> Option<Signal> {
    Some(match path.strip_prefix("/opentelemetry.proto.collector.")?.strip_suffix("/Export")? {
        "trace.v1.TraceService" => Signal::Traces,
        "metrics.v1.MetricsService" => Signal::Metrics,
        "logs.v1.LogsService" => Signal::Logs,
        "profiles.v1development.ProfilesService" => Signal::Profiles,
        _ => return None,
    })
}

/// The one message of a unary call.
fn grpc_message(body: Bytes, packing: Packing) -> Result<(Bytes, Packing), Verdict> {
    let Some((head, _)) = body.split_first_chunk::<5>() else {
        return Err(Verdict::Bad("no message".to_owned()));
    };
    let [flag, length @ ..] = *head;
    if u32::from_be_bytes(length) as usize != body.len() - 5 {
        return Err(Verdict::Bad("the message is not as long as it says".to_owned()));
    }
    match flag {
        0 => Ok((body.slice(5..), Packing::None)),
        1 => Ok((body.slice(5..), packing)),
        _ => Err(Verdict::Bad("an unknown flag of a message".to_owned())),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}
