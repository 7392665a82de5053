//! The gRPC exporter against a server of another implementation (tonic).
#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use telegen_export::{Compression, Endpoint, OtlpConfig, OtlpSink, OtlpTarget};
use telegen_model::{Records, Secret};
use telegen_otlp::Refusal;
use telegen_pipeline::{Batch, Outcome, SignalSet, Sink};
use telegen_testkit::records;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};

type Answer = Result<ExportTraceServiceResponse, Status>;

/// Spans of a request and the value of its header.
type Seen = (usize, Option<String>);

/// Answers as written; keeps the number of spans and one header of each request.
#[derive(Clone, Default)]
struct Service {
    answers: Arc<Mutex<Vec<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let header = request.metadata().get("x-tenant").map(|v| v.to_str().unwrap().to_string());
        let spans =
            request.get_ref().resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum();
        self.seen.lock().unwrap().push((spans, header));
        let next = self.answers.lock().unwrap().pop();
        next.unwrap_or_else(|| Ok(ExportTraceServiceResponse::default())).map(Response::new)
    }
}

async fn serve(service: Service) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = TraceServiceServer::new(service)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(4000);
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    addr
}

fn exporter(addr: SocketAddr, compression: Compression) -> OtlpSink {
    let endpoint = Endpoint { url: format!("http://{addr}"), exact: false };
    let headers = vec![("x-tenant".to_string(), Secret::new("t1"))];
    let target = OtlpTarget { endpoint, compression, headers, ..OtlpTarget::default() };
    let name = "otlp".to_string();
    OtlpSink::new(&OtlpConfig { name, signals: SignalSet::ALL, target, overrides: BTreeMap::new() }).unwrap()
}

fn spans(n: u64) -> Arc<Batch> {
    let records = Records::Spans((0..n).map(records::span).collect());
    Arc::new(Batch::new(records.signal(), vec![records::group(&records::resource("shop"), records)]))
}

#[tokio::test]
async fn another_server_reads_every_compression_and_the_headers() {
    let service = Service::default();
    let addr = serve(service.clone()).await;
    for (n, compression) in [(1, Compression::None), (2, Compression::Gzip), (3, Compression::Zstd)] {
        assert_eq!(exporter(addr, compression).send(spans(n)).await, Outcome::Delivered, "{compression:?}");
    }
    let tenant = Some("t1".to_string());
    assert_eq!(*service.seen.lock().unwrap(), [(1, tenant.clone()), (2, tenant.clone()), (3, tenant)]);
}

#[tokio::test]
async fn another_servers_answers_are_understood() {
    let service = Service::default();
    let to = exporter(serve(service.clone()).await, Compression::Gzip);
    let wait = Duration::from_millis(1500);
    let refusal = Refusal { code: 8, message: "q".to_string(), retry_after: Some(wait) };
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "two".to_string() };
    for (answer, want) in [
        (Ok(ExportTraceServiceResponse { partial_success: Some(partial) }), Outcome::Rejected { n: 2 }),
        (Err(Status::unavailable("späť 100%")), Outcome::Retry { after: None }),
        (Err(Status::resource_exhausted("quota")), Outcome::Lost { n: 3, reason: "grpc_8".into() }),
        (
            Err(Status::with_details(Code::ResourceExhausted, "q", telegen_otlp::encode_status(&refusal))),
            Outcome::Retry { after: Some(wait) },
        ),
        (Err(Status::permission_denied("no")), Outcome::Lost { n: 3, reason: "grpc_7".into() }),
    ] {
        service.answers.lock().unwrap().push(answer.clone());
        assert_eq!(to.send(spans(3)).await, want, "{answer:?}");
    }
}

#[tokio::test]
async fn another_servers_word_for_too_large_is_understood() {
    let service = Service::default();
    let addr = serve(service.clone()).await;
    assert_eq!(exporter(addr, Compression::None).send(spans(100)).await, Outcome::TooLarge);
    assert_eq!(exporter(addr, Compression::Gzip).send(spans(100)).await, Outcome::TooLarge);
    assert_eq!(service.seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn another_server_without_this_service_is_no_reason_to_try_again() {
    let to = exporter(serve(Service::default()).await, Compression::None);
    let logs = Records::Logs(vec![records::log(1)]);
    let batch = Arc::new(Batch::new(logs.signal(), vec![records::group(&records::resource("shop"), logs)]));
    assert_eq!(to.send(batch).await, Outcome::Lost { n: 1, reason: "grpc_12".into() });
}
