//! The page, embedded.

use axum::Router;

pub(crate) fn router() -> Router {
    Router::new()
}
