//! `server.listen`: Host and Origin checks, security headers, auth, limits. Others hand it routers.

pub mod settings;
