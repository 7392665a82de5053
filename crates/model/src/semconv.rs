//! Attribute and metric names, as the OpenTelemetry semantic conventions give them (stable where they are).

macro_rules! names {
    ($($konst:ident = $name:literal;)*) => { $(#[doc = concat!("`", $name, "`")] pub const $konst: &str = $name;)* };
}

names! {
    SERVICE_NAME = "service.name";
    SERVICE_NAMESPACE = "service.namespace";
    SERVICE_INSTANCE_ID = "service.instance.id";
    SERVICE_VERSION = "service.version";
    HOST_NAME = "host.name";
    HOST_ID = "host.id";
    HOST_ARCH = "host.arch";
    OS_TYPE = "os.type";
    OS_NAME = "os.name";
    OS_VERSION = "os.version";
    OS_DESCRIPTION = "os.description";
    CONTAINER_ID = "container.id";
    PROCESS_PID = "process.pid";
    PROCESS_EXECUTABLE_NAME = "process.executable.name";
    PROCESS_EXECUTABLE_PATH = "process.executable.path";
    PROCESS_RUNTIME_NAME = "process.runtime.name";
    PROCESS_RUNTIME_VERSION = "process.runtime.version";
    TELEMETRY_DISTRO_NAME = "telemetry.distro.name";
    TELEMETRY_DISTRO_VERSION = "telemetry.distro.version";

    HTTP_REQUEST_METHOD = "http.request.method";
    HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original";
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
    HTTP_REQUEST_BODY_SIZE = "http.request.body.size";
    HTTP_RESPONSE_BODY_SIZE = "http.response.body.size";
    HTTP_ROUTE = "http.route";
    TLS_CLIENT_SERVER_NAME = "tls.client.server_name";
    URL_FULL = "url.full";
    URL_PATH = "url.path";
    URL_QUERY = "url.query";
    URL_SCHEME = "url.scheme";
    SERVER_ADDRESS = "server.address";
    SERVER_PORT = "server.port";
    CLIENT_ADDRESS = "client.address";
    CLIENT_PORT = "client.port";
    NETWORK_PEER_ADDRESS = "network.peer.address";
    NETWORK_PEER_PORT = "network.peer.port";
    NETWORK_PROTOCOL_NAME = "network.protocol.name";
    NETWORK_PROTOCOL_VERSION = "network.protocol.version";
    NETWORK_TRANSPORT = "network.transport";
    USER_AGENT_ORIGINAL = "user_agent.original";
    ERROR_TYPE = "error.type";

    HTTP_SERVER_REQUEST_DURATION = "http.server.request.duration";
    HTTP_CLIENT_REQUEST_DURATION = "http.client.request.duration";
    HTTP_SERVER_REQUEST_BODY_SIZE = "http.server.request.body.size";
    HTTP_SERVER_RESPONSE_BODY_SIZE = "http.server.response.body.size";
    HTTP_CLIENT_REQUEST_BODY_SIZE = "http.client.request.body.size";
    HTTP_CLIENT_RESPONSE_BODY_SIZE = "http.client.response.body.size";

    TELEGEN_LINK_METHOD = "telegen.link.method";
    TELEGEN_LINK_CONFIDENCE = "telegen.link.confidence";
    TELEGEN_LINK_REASON = "telegen.link.reason";
    TELEGEN_ROUTE_SOURCE = "telegen.route.source";
}
