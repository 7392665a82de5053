//! `server.listen`: Host and Origin checks, security headers, auth, limits. Others hand it routers.
//!
//! [`Server`] answers `/healthz` and `/readyz` by itself. Everything else comes from routers: [`Server::merge`] for
//! what needs the token when there is one, [`Server::merge_shell`] for pages that hold no data. Whatever is behind it,
//! a request is answered only when it is GET or HEAD, names this server in `Host`, and comes from no other page
//! (`Origin`); an answer says by itself that it is not to be cached, sniffed, framed or run.

mod auth;
mod connections;
mod error;
mod guard;
mod health;
mod hosts;
mod listen;
mod serve;
pub mod settings;
mod tls;

pub use auth::Token;
pub use error::ServerError;
pub use guard::API_CSP;
pub use serve::{Front, Running, Server};
pub use tls::acceptor;
